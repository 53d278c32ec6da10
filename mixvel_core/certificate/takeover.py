"""The step count at which the network error takes over: from there on more steps will not help.

Besides drift, which acts on every error alike, a step adds a part of the method (truncation and selection), which falls
with N, and one of the networks, whose sum over all steps does not. A power law is fitted to the former and followed to
where it meets the latter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from attrs import frozen

from mixvel_core.study.power_law import power_law
from mixvel_core.study.statistics import quantity_of

NOTHING = 1e-9
"""A network part below this part of the method's is rounding."""
SETTLED = 0.25
"""A network part that changes by more than this between the last two step counts is no floor yet."""
FAR = 100.0
"""How many times the largest N measured a power law is believed."""


@frozen(kw_only=True)
class Takeover:
    """``steps``: N, None where it cannot be said. ``slope``: of the method's part, with its 95% interval. ``says``: in
    words, also why there is no N."""

    steps: float | None
    slope: float | None
    low: float | None
    high: float | None
    says: str


def takeover(steps: Sequence[int], method: np.ndarray, network: np.ndarray, seed: int = 0) -> Takeover:
    """Where the network part takes over.

    Args:
        steps: step counts, rising.
        method: norms of what truncation and selection add over all steps, (len(steps), n), of n trajectories.
        network: the same of the networks.
        seed: of the bootstrap.
    """
    errors, floors = quantity_of("rms", method), quantity_of("rms", network)
    floor = float(floors[-1])
    law = power_law(steps, method, "rms", seed=seed)
    slope, low, high = (None, None, None) if law is None else (law.slope, law.low, law.high)

    def told(n: float | None, says: str) -> Takeover:
        return Takeover(steps=n, slope=slope, low=low, high=high, says=says)

    if floor <= NOTHING * float(errors.max()):
        return told(None, "never: the networks add nothing, so more steps always help")
    if slope is None or high is None or len(steps) < 2:
        return told(None, "cannot be said: one step count has no slope")
    if abs(float(floors[-1] / floors[-2]) - 1.0) > SETTLED:
        return told(None, "cannot be said: the network part itself still changes with N")
    if high >= 0:
        return told(None, "cannot be said: the method's part does not fall for sure over these step counts")
    log_n, log_error = np.log(np.asarray(steps, dtype=np.float64)), np.log(errors)
    exponent = log_n.mean() + (log_error.mean() - math.log(floor)) / -slope
    if exponent > math.log(FAR * steps[-1]):
        return told(None, f"cannot be said: not before N = {FAR * steps[-1]:.0f}, too far beyond what was measured")
    n = math.exp(exponent)
    if n < steps[0]:
        return told(n, f"before N = {steps[0]}: the networks already add more than the method")
    where = "within" if n <= steps[-1] else "beyond"
    return told(n, f"about N = {n:.0f}, {where} what was measured; from there on more steps will not help")
