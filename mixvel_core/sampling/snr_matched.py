"""Experts of another schedule, evaluated at their own time of equal signal-to-noise ratio with x rescaled.

x_t = alpha x_0 + sigma eps and x' = c x_t carry the same information on x_0 where (alpha', sigma') = c (alpha, sigma).
So the denoiser V0 is the same function, m(x, t) = m'(c x, t'), and D1 holds for experts of any schedules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Self, TypeVar

import torch
from attrs import evolve, field, frozen
from torch import Tensor, nn

from mixvel_core.field.angle import match_snr
from mixvel_core.field.conversions import expand
from mixvel_core.protocols import (
    Condition,
    ConditionalExpert,
    ConditionalGroup,
    DensityExpert,
    Expert,
    ExpertGroup,
    Moments,
    NoiseSchedule,
    SchedulePoint,
    WeightedExpert,
)
from mixvel_core.sampling.dispatch import GroupMember, group_of, members_of


@frozen(kw_only=True, eq=False)
class _Matched:
    """Where an expert is evaluated for points (x_t, t): x and t of its own, and both schedules' points there.

    ``p``: of the sampler's schedule, ``q``: of the expert's, (B,) float64. ``scale``: c, (B,) float64.
    """

    x: Tensor
    t: Tensor
    p: SchedulePoint
    q: SchedulePoint
    scale: Tensor


@frozen(kw_only=True, eq=False)
class _Match:
    """From ``schedule``, which the sampler follows, to ``own``, the one that an expert was trained with.

    Where the expert's schedule ends before the sampler's does, it has no such time. Beyond its noisiest time the
    denoiser is the shard's mean plus the expert's difference from it there, in proportion to alpha/sigma: exact where
    alpha = 0, and wrong by no more than the square of the alpha at which the expert ends. (Without a mean the expert is
    evaluated at its last time, and so it is under a condition, whose own mean is not known: wrong by no more than that
    alpha.) Beyond its cleanest time it is x/alpha plus the expert's difference from it there, in
    proportion to (sigma/alpha)^2, which is the leading order of V3.
    """

    schedule: NoiseSchedule
    own: NoiseSchedule
    least_signal: float = field(init=False)
    """alpha/sigma at the expert's noisiest time."""
    least_noise: float = field(init=False)
    """sigma/alpha at the expert's cleanest time."""

    @least_signal.default
    def _at_the_noisy_end(self) -> float:
        p = self.own.at(torch.ones((), dtype=torch.float64))
        return float(p.alpha / p.sigma)

    @least_noise.default
    def _at_the_clean_end(self) -> float:
        p = self.own.at(torch.zeros((), dtype=torch.float64))
        return float(p.sigma / p.alpha)

    def points(self, x: Tensor, t: Tensor) -> _Matched:
        """Where the expert is evaluated for x, (B, *data), at t, (B,)."""
        met = match_snr(self.schedule, self.own, t)
        p, q, scale = met.point, met.other_point, met.scale
        if self.least_signal > 0.0:
            scale = torch.where(self.signal_left(p) < 1.0, q.sigma / p.sigma, scale)
        return _Matched(x=expand(scale.to(x), x) * x, t=met.t, p=p, q=q, scale=scale)

    def signal_left(self, p: SchedulePoint) -> Tensor:
        """alpha/sigma as a share of the expert's least, (B,) float64; 1 where the expert has such a time."""
        return (p.alpha / p.sigma / self.least_signal).clamp_max(1.0)

    def null_rows(self, condition: Condition, null: Condition | None) -> Tensor | None:
        """Which rows of a condition are null, so that the shard's mean is theirs, (B,) bool; None where it is not
        needed, or all are."""
        return None if null is None or self.least_signal == 0.0 else condition.equals(null)

    def beyond_the_ends(
        self, m: Tensor, x: Tensor, at: _Matched, mean: Tensor | None, null_rows: Tensor | None
    ) -> Tensor:
        """m(x, t), (B, *data), from the expert's answer ``m`` at ``at``.

        ``mean``: of the shard, (*data), or of each row's own shard, (B, *data); None if it is not known. ``null_rows``:
        those that it is the mean of, (B,) bool; None: all.
        """
        p, q = at.p, at.q
        if self.least_signal > 0.0 and mean is not None:
            mean, left = mean.to(m), self.signal_left(p).to(m)
            if null_rows is not None:
                left = torch.where(null_rows.to(m.device), left, 1.0)
            m = mean + expand(left, m) * (m - mean)
        if self.least_noise > 0.0:
            left = (p.sigma / p.alpha / self.least_noise).clamp_max(1.0)
            beyond = left < 1.0
            alpha = torch.where(beyond, p.alpha, 1.0)
            clean, own = x / expand(alpha.to(x), x), at.x / expand(q.alpha.to(x), x)
            m = torch.where(expand(beyond, m), clean + expand((left**2).to(m), m) * (m - own), m)
        return m


ExpertT = TypeVar("ExpertT", bound=Expert)


@frozen(kw_only=True, eq=False)
class SNRMatched(Generic[ExpertT]):
    """``expert`` as one whose x and t are of ``schedule``; ``_Match`` states what happens at the ends.

    ``null_rows``: which rows are under the null condition, (B,) bool; None: all are.
    """

    expert: ExpertT
    schedule: NoiseSchedule
    null_rows: Tensor | None = None
    _match: _Match = field(init=False)

    @_match.default
    def _of_the_schedules(self) -> _Match:
        return _Match(schedule=self.schedule, own=self.expert.schedule)

    @property
    def moments(self) -> Moments | None:
        """Of the shard: they depend on the data, not on the schedule."""
        return self.expert.moments

    @property
    def module(self) -> nn.Module | None:
        """The network of the expert, if it is one."""
        return self.expert.module if isinstance(self.expert, WeightedExpert) else None

    @property
    def null(self) -> Condition | None:
        """Of the expert; None where it reads no conditions."""
        return self.expert.null if isinstance(self.expert, ConditionalExpert) else None

    def given(self, condition: Condition) -> Self:
        """The expert of a condition, row by row, with x and t of this schedule."""
        if not isinstance(self.expert, ConditionalExpert):
            return self
        null_rows = self._match.null_rows(condition, self.null)
        return evolve(self, expert=self.expert.given(condition), null_rows=null_rows)

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """m(x, t), (B, *data)."""
        at = self._match.points(x, t)
        mean = self.moments.mean if self.moments is not None else None
        return self._match.beyond_the_ends(self.expert.denoise(at.x, at.t), x, at, mean, self.null_rows)


@frozen(kw_only=True, eq=False)
class SNRMatchedDensity(SNRMatched[DensityExpert]):
    """The same of an expert with a density."""

    def log_density(self, x: Tensor, t: Tensor) -> Tensor:
        """log p_t(x) = log p'(c x) + D log c, (B,): c differs between experts of different schedules.

        Beyond the expert's noisiest time, what its density has over that of pure noise is kept in proportion to
        alpha/sigma.
        """
        at = self._match.points(x, t)
        D = x[0:1].numel()
        found = self.expert.log_density(at.x, at.t)
        if self._match.least_signal == 0.0:
            return found + (D * at.scale.log()).to(found)
        left = self._match.signal_left(at.p).to(found)
        squares = (at.x.flatten(1).to(found) ** 2).sum(1)
        noise = -0.5 * squares / at.q.sigma.to(found) ** 2 - D * at.q.sigma.log().to(found)
        # Where nothing is beyond, this is the density itself, without the rounding of a detour.
        return torch.where(left < 1.0, noise + left * (found - noise), found) + (D * at.scale.log()).to(found)


@frozen(kw_only=True, eq=False)
class SNRMatchedGroup:
    """``group`` as one whose x and t are of ``schedule``: its members are still evaluated together.

    ``null_rows``: as of ``SNRMatched``.
    """

    group: ExpertGroup
    schedule: NoiseSchedule
    count: int
    null_rows: Tensor | None = None
    _match: _Match = field(init=False)
    _means: Tensor | None = field(init=False)

    @_match.default
    def _of_the_schedules(self) -> _Match:
        return _Match(schedule=self.schedule, own=self.group.schedule)

    @_means.default
    def _of_all_shards(self) -> Tensor | None:
        known = [m.mean for k in range(self.count) if (m := self.group.moments(k)) is not None]
        return torch.stack(known) if len(known) == self.count else None

    def moments(self, k: int) -> Moments | None:
        """Of shard k: they depend on the data, not on the schedule."""
        return self.group.moments(k)

    @property
    def null(self) -> Condition | None:
        """Of the group; None where it reads no conditions."""
        return self.group.null if isinstance(self.group, ConditionalGroup) else None

    def given(self, condition: Condition) -> Self:
        """The experts of a condition, row by row, with x and t of this schedule."""
        if not isinstance(self.group, ConditionalGroup):
            return self
        null_rows = self._match.null_rows(condition, self.null)
        return evolve(self, group=self.group.given(condition), null_rows=null_rows)

    def denoise(self, x: Tensor, t: Tensor, k: Tensor) -> Tensor:
        """m_k(x, t), (B, *data), with a member k for each row, (B,) int64."""
        at = self._match.points(x, t)
        mean = self._means[k] if self._means is not None else None
        return self._match.beyond_the_ends(self.group.denoise(at.x, at.t, k), x, at, mean, self.null_rows)


def snr_matched(expert: Expert, schedule: NoiseSchedule) -> Expert:
    """The expert with x and t of ``schedule``: itself where that is its own."""
    if expert.schedule == schedule:
        return expert
    if isinstance(expert, DensityExpert):
        return SNRMatchedDensity(expert=expert, schedule=schedule)
    return SNRMatched(expert=expert, schedule=schedule)


def all_snr_matched(experts: Sequence[Expert], schedule: NoiseSchedule) -> list[Expert]:
    """All experts with x and t of ``schedule``; those that are one network stay one."""
    group = group_of(experts)
    if group is None or group.schedule == schedule:
        return [snr_matched(expert, schedule) for expert in experts]
    places = members_of(experts)
    matched = SNRMatchedGroup(group=group, schedule=schedule, count=max(places) + 1)
    return [GroupMember(group=matched, index=k) for k in places]
