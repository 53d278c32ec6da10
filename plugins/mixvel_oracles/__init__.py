"""Exact experts, routers and data: Gaussian mixtures (D3) and finite data sets (D2). No networks."""

from mixvel_oracles.empirical import EmpiricalExpert
from mixvel_oracles.gaussian import GaussianExpert, gaussian_expert
from mixvel_oracles.law import draw, random_law, split
from mixvel_oracles.router import OracleRouter

__all__ = ["EmpiricalExpert", "GaussianExpert", "OracleRouter", "draw", "gaussian_expert", "random_law", "split"]
