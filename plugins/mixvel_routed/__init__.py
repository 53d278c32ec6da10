"""Integrators of the sampling ODE: Euler, Heun, DDIM and the second-order multistep 2M."""

from mixvel_routed.ddim import DDIM
from mixvel_routed.euler import Euler
from mixvel_routed.heun import Heun
from mixvel_routed.multistep import Multistep

__all__ = ["DDIM", "Euler", "Heun", "Multistep"]
