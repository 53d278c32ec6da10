"""GuidedField: the routed field under a condition and that of a reference, put together by a guidance.

M_c = sum_k p(k | x, c) m_k(x, t, c) and, for the null condition, M_r = sum_k p(k | x) m_k(x, t). Both are fields of
their own, with states of their own, so every selector works in both. Experts that both select are evaluated once, for
the points of both.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from attrs import define
from torch import Tensor

from mixvel_core.protocols import Estimate, Evaluations, Guidance, NoiseSchedule, PairedSelector
from mixvel_core.sampling.dispatch import evaluate
from mixvel_core.sampling.routed_field import Choice, RoutedField, read_masks


@define(kw_only=True)
class GuidedField:
    """The field that guided trajectories follow. ``given``: under the condition. ``other``: of the reference."""

    guidance: Guidance
    given: RoutedField
    other: RoutedField

    @property
    def schedule(self) -> NoiseSchedule:
        """The schedule of both fields, which is the same."""
        return self.given.schedule

    @property
    def stateful(self) -> str:
        """What carries a state along trajectories, in words; empty where the field is a function of (x, t)."""
        return self.given.stateful or self.other.stateful

    @property
    def evaluations(self) -> Tensor:
        """Expert calls of each sample so far, those of the reference included, (B,)."""
        return self.given.evaluations + self.other.evaluations

    @property
    def origin(self) -> Tensor:
        """The expert of the most weight under the condition, (B,)."""
        return self.given.origin

    @property
    def usage(self) -> list[Tensor]:
        """For each call, the share of samples that evaluated each expert under the condition, (K,)."""
        return self.given.usage

    @property
    def times(self) -> list[float]:
        """The times of the calls."""
        return self.given.times

    def begin_step(self, t: float, s: float) -> None:
        """The evaluations that follow are of a step from t to s."""
        self.given.begin_step(t, s)
        self.other.begin_step(t, s)

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """M, (B, *data), at x and t."""
        if self.guidance.at(t) == 1.0:
            self._follow(x, t)
            return self.given.denoise(x, t)
        M_c, M_r = self._both(x, t)
        return self.guidance.combine(M_c, M_r, t)

    def estimate(self, x: Tensor, t: float) -> Estimate:
        """M with the selectors' jumps apart from what is smooth along the trajectories."""
        if self.guidance.at(t) == 1.0:
            self._follow(x, t)
            return self.given.estimate(x, t)
        M_c, M_r = self._both(x, t)
        jumps = self.given.jump(), self.other.jump()
        M = self.guidance.combine(M_c, M_r, t)
        if jumps[0] is None and jumps[1] is None:
            return Estimate(smooth=M)
        of_given, of_other = (torch.zeros_like(x) if one is None else one for one in jumps)
        jump = self.guidance.combine(of_given, of_other, t)
        return Estimate(smooth=M - jump, jump=jump)

    def noise(self, x: Tensor, counter: int) -> Tensor:
        """Standard normal numbers like x, of these samples, for step ``counter`` of an SDE."""
        return self.given.noise(x, counter)

    def check(self) -> None:
        """Raises SamplingError where the last evaluation gave what is no number; names who."""
        self.given.check()
        self.other.check()

    def _follow(self, x: Tensor, t: float) -> None:
        """Lets a router of the reference that integrates its weights go along where nothing is guided: the weights with
        which the reference begins are those of the whole way."""
        if self.guidance.route == "own":
            self.other.follow(x, t)

    def _both(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """M_c and M_r at x and t."""
        given, other, B = self.given, self.other, len(x)
        chosen, reference = self._choose(x, t)
        fields, call = [given, other], len(given.times) + 1
        masks = read_masks(fields, [chosen.mask, reference.mask])
        with torch.autocast(x.device.type, torch.bfloat16, enabled=given.autocast):
            if other.experts is given.experts:
                # Rows behind those of the condition have none.
                answers = evaluate(given.experts, torch.cat([x, x]), t, torch.cat(masks), call, given.condition)
                parts = _parted(answers, torch.cat(masks), B)
            else:
                parts = [
                    evaluate(one.experts, x, t, mask, call, one.condition)
                    for one, mask in zip(fields, masks, strict=True)
                ]
        every = [bool(mask.all()) for mask in masks]
        M_c = given.combine(x, t, chosen, parts[0], all_answered=every[0])
        # What a router makes of answers is of those under the condition.
        shared = given.combined_by if self.guidance.route == "shared" else None
        return M_c, other.combine(x, t, reference, parts[1], all_answered=every[1], weights=shared)

    def _choose(self, x: Tensor, t: float) -> tuple[Choice, Choice]:
        """The choices of both halves, together where the selector has a rule for that."""
        given, other = self.given, self.other
        raw, a = given.weigh(x, t)
        raw_r, a_r = other.weigh(x, t, raw if self.guidance.route == "shared" else None)
        selector = given.selector
        if self.guidance.reference != "null" or not isinstance(selector, PairedSelector):
            return given.select(x, t, raw, a), other.select(x, t, raw_r, a_r)
        states = given.selector_state, other.selector_state
        masks, (given.selector_state, other.selector_state) = selector.select_both(
            x, t, (a, a_r), self.guidance.at(t), states
        )
        return Choice(raw=raw, a=a, mask=masks[0]), Choice(raw=raw_r, a=a_r, mask=masks[1])


def _parted(answers: Evaluations, mask: Tensor, B: int) -> list[Evaluations]:
    """The answers for rows below B and for those from B on. ``mask``: (2 B, K) bool, on the CPU: it is read here, where
    the answers' own rows would have to be waited for."""
    rows = mask.T.nonzero()[:, 1]
    places = [inside.nonzero()[:, 0].to(answers.m.device, non_blocking=True) for inside in (rows < B, rows >= B)]
    return [
        Evaluations(sample=answers.sample[place] - first, expert=answers.expert[place], m=answers.m[place])
        for place, first in zip(places, (0, B), strict=True)
    ]


SampledField: TypeAlias = RoutedField | GuidedField
"""What sampled trajectories follow."""
