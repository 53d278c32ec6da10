"""A bound that exceeds the data's diameter says nothing: any two distributions on the data are that near."""

from __future__ import annotations

from mixvel_core.theory.bound import log10


def is_vacuous(bound_log10: float, diameter: float) -> bool:
    """Whether a distance of 10^bound_log10 is at least the diameter."""
    return bound_log10 >= log10(diameter)
