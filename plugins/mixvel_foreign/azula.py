"""The schedule of an azula denoiser, a callable t -> (alpha, sigma), with its derivatives by autograd.

It need not begin at clean data or end at pure noise: see ``mixvel_core.sampling.snr_matched``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.errors import RecipeError
from mixvel_core.protocols import NoiseSchedule, SchedulePoint


@frozen(kw_only=True)
class ByAutograd:
    """``pair``: t -> (alpha, sigma), of the shape of t, alpha/sigma falling."""

    pair: Callable[[Tensor], tuple[Tensor, Tensor]]

    def at(self, t: Tensor) -> SchedulePoint:
        """alpha and sigma of ``pair`` at t, and their derivatives."""
        with torch.inference_mode(False), torch.enable_grad():
            u = t.detach().clone().requires_grad_()
            alpha, sigma = self.pair(u)
            d_alpha, d_sigma = _slope(alpha, u), _slope(sigma, u)
            dd_alpha = _slope(d_alpha, u)
        return SchedulePoint(
            alpha=alpha.detach(),
            sigma=sigma.detach(),
            d_alpha=d_alpha.detach(),
            d_sigma=d_sigma.detach(),
            dd_alpha=dd_alpha.detach(),
        )


def _slope(value: Tensor, u: Tensor) -> Tensor:
    # A constant, as alpha of variance exploding paths, has no graph.
    if not value.requires_grad:
        return torch.zeros_like(u)
    (slope,) = torch.autograd.grad(value.sum(), u, create_graph=True, allow_unused=True)
    return torch.zeros_like(u) if slope is None else slope


def schedule_of(denoiser: object, what: str) -> NoiseSchedule:
    """The schedule that an azula denoiser carries. Raises RecipeError where it carries none, or one that rises."""
    pair = getattr(denoiser, "schedule", None)
    if not callable(pair):
        raise RecipeError(f"{what}: the denoiser has no schedule; the factory must return an azula.denoise.Denoiser")
    schedule = ByAutograd(pair=pair)
    p = schedule.at(torch.linspace(0.0, 1.0, 33, dtype=torch.float64))
    angle = torch.atan2(p.sigma, p.alpha)
    if not bool((angle[1:] > angle[:-1]).all()):
        raise RecipeError(f"{what}: alpha/sigma of its schedule does not fall with t")
    return schedule
