"""Selectors: which experts a sample asks at each step, and what it makes of their answers."""

from mixvel_selectors.fixed import Fixed
from mixvel_selectors.iid import Iid
from mixvel_selectors.mixture import Mixture
from mixvel_selectors.top import TopK

__all__ = ["Fixed", "Iid", "Mixture", "TopK"]
