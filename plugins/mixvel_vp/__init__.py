"""Noise schedules: variance preserving (linear, cosine, a DDPM beta table) and the rectified path."""

from mixvel_vp.cosine import Cosine
from mixvel_vp.linear import Linear
from mixvel_vp.rectified import Rectified
from mixvel_vp.table import Table, from_betas

__all__ = ["Cosine", "Linear", "Rectified", "Table", "from_betas"]
