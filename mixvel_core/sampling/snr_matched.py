"""Experts of another schedule: each is asked at its own time of equal signal-to-noise ratio, with x rescaled.

x = alpha x_0 + sigma eps and x' = c x are the same knowledge of x_0 where (alpha', sigma') = c (alpha, sigma). So the
denoiser V0 is the same function, m(x, t) = m'(c x, t'), and D1 holds for experts of any schedules.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from attrs import field, frozen
from torch import Tensor

from mixvel_core.field.angle import match_snr
from mixvel_core.field.conversions import expand
from mixvel_core.protocols import DensityExpert, Expert, Moments, NoiseSchedule, SchedulePoint


@frozen(kw_only=True, eq=False)
class _Place:
    """Where the expert is asked for points (x, t): ``x`` and ``t`` of its own, and both schedules there.

    ``point``, ``other_point``: the two schedules' points, (B,) float64. ``scale``: c, (B,) float64.
    """

    x: Tensor
    t: Tensor
    point: SchedulePoint
    other_point: SchedulePoint
    scale: Tensor


ExpertT = TypeVar("ExpertT", bound=Expert)


@frozen(kw_only=True, eq=False)
class SNRMatched(Generic[ExpertT]):
    """``expert`` as one that reads x and t by ``schedule``.

    Where the expert's schedule ends before the sampler's does, it has no such time. Beyond its noisiest time the
    denoiser is the shard's mean plus what the expert adds to it there, in proportion to alpha/sigma: exact where
    alpha = 0, and wrong by no more than the square of the alpha at which the expert ends. (Without a mean to know of,
    the expert is asked at its last time.) Beyond its cleanest time it is x/alpha plus what the expert adds to it
    there, in proportion to (sigma/alpha)^2, which is the leading order of V3.
    """

    expert: ExpertT
    schedule: NoiseSchedule
    _least_signal: float = field(init=False)
    _least_noise: float = field(init=False)

    @_least_signal.default
    def _at_the_noisy_end(self) -> float:
        p = self.expert.schedule.at(torch.ones((), dtype=torch.float64))
        return float(p.alpha / p.sigma)

    @_least_noise.default
    def _at_the_clean_end(self) -> float:
        p = self.expert.schedule.at(torch.zeros((), dtype=torch.float64))
        return float(p.sigma / p.alpha)

    @property
    def moments(self) -> Moments | None:
        """Of the shard: a matter of the data, whatever the schedule."""
        return self.expert.moments

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """m(x, t), (B, *data)."""
        place = self._place(x, t)
        m = self.expert.denoise(place.x, place.t)
        p, q = place.point, place.other_point
        if self._least_signal > 0.0 and self.moments is not None:
            mean = self.moments.mean.to(m)
            m = mean + expand(self._signal_left(p).to(m), m) * (m - mean)
        if self._least_noise > 0.0:
            left = (p.sigma / p.alpha / self._least_noise).clamp_max(1.0)
            beyond = left < 1.0
            alpha = torch.where(beyond, p.alpha, 1.0)
            clean, own = x / expand(alpha.to(x), x), place.x / expand(q.alpha.to(x), x)
            m = torch.where(expand(beyond, m), clean + expand((left**2).to(m), m) * (m - own), m)
        return m

    def _signal_left(self, p: SchedulePoint) -> Tensor:
        """alpha/sigma as a share of the least the expert knows, (B,) float64; 1 where it knows it."""
        return (p.alpha / p.sigma / self._least_signal).clamp_max(1.0)

    def _place(self, x: Tensor, t: Tensor) -> _Place:
        met = match_snr(self.schedule, self.expert.schedule, t)
        p, q, scale = met.point, met.other_point, met.scale
        if self._least_signal > 0.0:
            scale = torch.where(self._signal_left(p) < 1.0, q.sigma / p.sigma, scale)
        return _Place(x=expand(scale.to(x), x) * x, t=met.t, point=p, other_point=q, scale=scale)


@frozen(kw_only=True, eq=False)
class SNRMatchedDensity(SNRMatched[DensityExpert]):
    """The same of an expert that knows its density."""

    def log_density(self, x: Tensor, t: Tensor) -> Tensor:
        """log p_t(x) = log p'(c x) + D log c, (B,): c differs between experts of different schedules.

        Beyond the expert's noisiest time, what its density has over that of pure noise is kept in proportion to
        alpha/sigma.
        """
        place = self._place(x, t)
        p, q = place.point, place.other_point
        D = x[0:1].numel()
        found = self.expert.log_density(place.x, place.t)
        if self._least_signal == 0.0:
            return found + (D * place.scale.log()).to(found)
        left = self._signal_left(p).to(found)
        squares = (place.x.flatten(1).to(found) ** 2).sum(1)
        noise = -0.5 * squares / q.sigma.to(found) ** 2 - D * q.sigma.log().to(found)
        # Where nothing is beyond, this is the density itself, without the rounding of a detour.
        return torch.where(left < 1.0, noise + left * (found - noise), found) + (D * place.scale.log()).to(found)


def snr_matched(expert: Expert, schedule: NoiseSchedule) -> Expert:
    """The expert, read by ``schedule``: itself where that is its own."""
    if expert.schedule == schedule:
        return expert
    if isinstance(expert, DensityExpert):
        return SNRMatchedDensity(expert=expert, schedule=schedule)
    return SNRMatched(expert=expert, schedule=schedule)
