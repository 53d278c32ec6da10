"""Integrators of the sampling ODE: Euler, Heun, DDIM and the second-order multistep 2M."""
