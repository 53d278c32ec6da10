"""Exact experts, routers and data: Gaussian mixtures (D3) and finite data sets (D2). No networks."""
