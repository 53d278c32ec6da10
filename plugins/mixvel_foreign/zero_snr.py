"""Beta tables rescaled to zero terminal SNR (Lin et al. 2024, arXiv 2305.08891, algorithm 1), which end at alpha = 0.

Their last beta is 1 and log alpha has no value at t = 1, so it is 1 - alpha that is a cubic between the times of the
table: zero at clean data, and exact to the last digits near it, where sigma^2 = (1 - alpha)(1 + alpha).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.field.beta_table import falling_pieces
from mixvel_core.protocols import SchedulePoint


def rescaled_alphas(betas: Sequence[float]) -> np.ndarray:
    """alpha at the T entries of a table of ``betas`` after rescaling: (alpha - alpha_T) alpha_1 / (alpha_1 - alpha_T).

    The first is as it was, the last is zero.
    """
    alpha = np.sqrt(np.cumprod(1.0 - np.asarray(betas, dtype=np.float64)))
    rescaled: np.ndarray = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    return rescaled


@frozen(kw_only=True)
class ZeroSNRTable:
    """A schedule of T = ``len(c0)`` entries that ends at alpha = 0.

    alpha - 1 = c3 u^3 + c2 u^2 + c1 u + c0 on the i-th of T equal intervals, u = t - i/T.
    """

    c3: tuple[float, ...]
    c2: tuple[float, ...]
    c1: tuple[float, ...]
    c0: tuple[float, ...]

    @classmethod
    def from_alphas(cls, alphas: np.ndarray) -> ZeroSNRTable:
        """The schedule that has the falling ``alphas``, (T,), at t = 1/T, ..., 1."""
        c3, c2, c1, c0 = falling_pieces(np.concatenate([[0.0], alphas - 1.0]))
        return cls(c3=c3, c2=c2, c1=c1, c0=c0)

    def at(self, t: Tensor) -> SchedulePoint:
        """alpha, sigma and their derivatives at t in [0, 1], any shape, from the cubic and its derivatives."""
        T = len(self.c0)
        i = (t.detach() * T).floor().long().clamp(0, T - 1)
        c3, c2, c1, c0 = (
            torch.tensor(c, dtype=t.dtype, device=t.device)[i] for c in (self.c3, self.c2, self.c1, self.c0)
        )
        u = t - i.to(t.dtype) / T
        dd_alpha = 6.0 * c3 * u + 2.0 * c2
        below = (((c3 * u + c2) * u + c1) * u + c0).clamp(-1.0, 0.0)
        alpha, d_alpha = 1.0 + below, (3.0 * c3 * u + 2.0 * c2) * u + c1
        sigma = (-below * (1.0 + alpha)).sqrt()
        return SchedulePoint(
            alpha=alpha,
            sigma=sigma,
            d_alpha=d_alpha,
            d_sigma=-alpha * d_alpha / sigma,
            dd_alpha=dd_alpha,
        )
