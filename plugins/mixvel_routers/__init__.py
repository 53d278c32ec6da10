"""Routers: the posterior learned by a network, and the prior alone."""
