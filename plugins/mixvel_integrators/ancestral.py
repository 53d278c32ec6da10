"""ancestral: DDIM with churn; a part of the noise is made anew in every step.

    x_s = alpha_s M + sqrt(sigma_s^2 - c^2) (x_t - alpha_t M) / sigma_t + c z,   c = eta sigma_s sqrt(1 - g^2),

with g = (alpha_t sigma_s) / (alpha_s sigma_t) and z standard normal. At eta = 1, c^2 is the variance of x_s given x_t
and the clean item, so that the step is a draw from the posterior at the item M (Ho et al. 2020); eta = 0 is DDIM (Song
et al. 2021). The noise level of x_s is sigma_s at every eta, on every schedule.
"""

from __future__ import annotations

import math

from attrs import evolve, frozen
from torch import Tensor

from mixvel_core.errors import SamplingError
from mixvel_core.field.conversions import at_time, ddim_step
from mixvel_core.protocols import Field, NoisyField


@frozen(kw_only=True)
class Ancestral:
    """First order in law, one evaluation of the field a step; may end at clean data. ``eta`` in [0, 1]: the churn."""

    eta: float = 1.0

    order: int = 1
    evaluations: int = 1

    @property
    def is_random(self) -> bool:
        """Whether samples end anywhere but where the ODE does."""
        return self.eta > 0.0

    def step(self, field: Field, x: Tensor, t: float, s: float, history: int | None) -> tuple[Tensor, int]:
        """x_s, (B, *data), and the number of steps so far, by which the noise is counted."""
        done = history or 0
        M, p_t, p_s = field.denoise(x, t), at_time(field.schedule, t), at_time(field.schedule, s)
        if not self.is_random:
            return ddim_step(M, x, p_t, p_s), done + 1
        if not isinstance(field, NoisyField):
            raise SamplingError("integrator ancestral needs noise, which this field has not; set its eta to 0")
        g = float(p_t.alpha * p_s.sigma / (p_s.alpha * p_t.sigma))
        fresh = self.eta * math.sqrt(max(0.0, 1.0 - g * g))
        kept = evolve(p_s, sigma=p_s.sigma * math.sqrt(1.0 - fresh * fresh))
        z = field.noise(x, done)
        return ddim_step(M, x, p_t, kept) + p_s.sigma * fresh * z, done + 1
