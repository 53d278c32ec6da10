"""RoutedField: router, weight transform, selector and experts as one denoiser for an integrator, with its cost."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from attrs import define, field, frozen
from torch import Tensor

from mixvel_core.errors import SamplingError
from mixvel_core.protocols import (
    Condition,
    ConditionalRouter,
    Draws,
    Estimate,
    Evaluations,
    Expert,
    GuessingRouter,
    NoiseSchedule,
    Prior,
    Router,
    Selector,
    SplitSelector,
    StepSelector,
)
from mixvel_core.sampling.dispatch import evaluate
from mixvel_core.sampling.field_check import FieldCheck, near_one
from mixvel_core.sampling.inputs import read_names
from mixvel_core.sampling.observation import observed
from mixvel_core.sampling.snr_matched import all_snr_matched
from mixvel_core.sampling.weights import AS_THEY_ARE, WeightTransform


@frozen(kw_only=True, eq=False)
class Choice:
    """Of one evaluation of the field: ``raw``, the router's weights, ``a``, what was made of them, (B, K) each, and
    ``mask``, which experts are evaluated for which sample, (B, K) bool."""

    raw: Tensor
    a: Tensor
    mask: Tensor


@define(kw_only=True)
class RoutedField:
    """The field along the trajectories of one batch. Keeps the states, so it lives as long as one sampling run.

    An evaluation waits for the device of x once: it reads which experts are selected, and with it whether the
    evaluation before gave finite numbers. ``check`` looks at the last one.

    ``evaluations``: expert calls of each sample so far, (B,). ``usage``: for each call of the field, the share of
    samples that evaluated each expert, (K,). ``times``: the times of those calls. ``origin``: of the experts that were
    evaluated at the last call, the one of the most weight, (B,). ``condition``: of the samples, for experts that read
    one, (B rows); None for the null condition. ``combined_by``: the weights of the last M, (B, K).
    """

    schedule: NoiseSchedule
    experts: Sequence[Expert]
    router: Router
    selector: Selector
    weights: WeightTransform
    autocast: bool
    draws: Draws
    evaluations: Tensor
    origin: Tensor
    condition: Condition | None = None
    usage: list[Tensor] = field(factory=list)
    times: list[float] = field(factory=list)
    _router_state: Any
    selector_state: Any
    _last: FieldCheck | None = field(default=None, init=False)
    combined_by: Tensor | None = field(default=None, init=False)

    @property
    def stateful(self) -> str:
        """What carries a state along trajectories, in words; empty where the field is a function of (x, t)."""
        if self._router_state is not None:
            return f"router {type(self.router).__name__}"
        return f"selector {type(self.selector).__name__}" if self.selector_state is not None else ""

    def begin_step(self, t: float, s: float) -> None:
        """The evaluations that follow are of a step from t to s."""
        if isinstance(self.selector, StepSelector):
            self.selector.begin_step(t, s, self.selector_state)

    def estimate(self, x: Tensor, t: float) -> Estimate:
        """``denoise`` with the selector's jump apart from what is smooth along the trajectories."""
        M = self.denoise(x, t)
        jump = self.jump()
        return Estimate(smooth=M if jump is None else M - jump, jump=jump)

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """M, an estimate of m(x, t), (B, *data): the router's weights, one selection, the selected experts.

        Raises SamplingError where the evaluation before gave what is no number; names who.
        """
        chosen = self.choose(x, t)
        selected = self._read(chosen.mask)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.autocast):
            answers = evaluate(self.experts, x, t, selected, len(self.times) + 1, self.condition)
        return self.combine(x, t, chosen, answers, all_answered=bool(selected.all()))

    def choose(self, x: Tensor, t: float) -> Choice:
        """The first half of ``denoise``: weights and the selection by them."""
        raw, a = self.weigh(x, t)
        return self.select(x, t, raw, a)

    def weigh(self, x: Tensor, t: float, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The router's weights and what is made of them, (B, K) each.

        ``weights``: of another field at the same points, (B, K), taken in place of this router's.
        """
        times = x.new_full((len(x),), t)
        if weights is None:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.autocast):
                weights, self._router_state = self.router.weights(x, times, self._router_state)
        raw = weights.to(x.dtype)
        if raw.shape != (len(x), len(self.experts)):
            raise SamplingError(
                f"the router returned weights of shape {tuple(raw.shape)} for {len(x)} points and "
                f"{len(self.experts)} experts at t={t:.4g}"
            )
        return raw, self.weights(raw, times)

    def follow(self, x: Tensor, t: float) -> None:
        """Carries the router's state, if it keeps one, to (x, t), where no expert is evaluated."""
        if self._router_state is not None:
            self.weigh(x, t)

    def select(self, x: Tensor, t: float, raw: Tensor, a: Tensor) -> Choice:
        """The selection by the weights of ``weigh``."""
        mask, self.selector_state = self.selector.select(x, t, a, self.selector_state)
        return Choice(raw=raw, a=a, mask=mask)

    def combine(
        self,
        x: Tensor,
        t: float,
        chosen: Choice,
        answers: Evaluations,
        *,
        all_answered: bool,
        weights: Tensor | None = None,
    ) -> Tensor:
        """The second half: M from the answers of exactly the chosen experts. ``weights``: by which another field has
        combined its own, (B, K), in place of this router's."""
        call, times = len(self.times) + 1, x.new_full((len(x),), t)
        a, sums, mask = chosen.a if weights is None else weights, chosen.raw.sum(1), chosen.mask
        again = None
        if weights is None:
            ask = partial(self._ask, t, call)
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.autocast):
                again, self._router_state = observed(
                    self.router, x, times, answers, ask, self._router_state, all_answered=all_answered
                )
        if again is not None:
            a, sums = self.weights(again.to(x.dtype), times), again.to(x.dtype).sum(1)
        self.combined_by = a
        M, self.selector_state = self.selector.combine(x, t, a, answers, self.selector_state)
        self._last = FieldCheck(
            fine=M.isfinite().all() & near_one(sums).all(),
            sums=sums,
            expert=answers.expert,
            # The largest of a row is not finite where one of it is not: no copy of all values is made for this.
            finite=torch.linalg.vector_norm(answers.m.flatten(1), torch.inf, dim=1).isfinite(),
            t=t,
            call=call,
        )
        self.evaluations += mask.sum(1)
        self.origin = a.masked_fill(~mask, -1.0).argmax(1)
        self.usage.append(mask.to(torch.float32).mean(0))
        self.times.append(t)
        return M

    def jump(self) -> Tensor | None:
        """The selector's jump in the last M; None for zero."""
        return self.selector.jump(self.selector_state) if isinstance(self.selector, SplitSelector) else None

    def _ask(self, t: float, call: int, x: Tensor, mask: Tensor) -> Evaluations:
        """Further evaluations at time t for a router that observes; counted like any other."""
        self.evaluations += mask.sum(1)
        return evaluate(self.experts, x, t, mask, call, self.condition)

    def noise(self, x: Tensor, counter: int) -> Tensor:
        """Standard normal numbers like x, of these samples, for step ``counter`` of an SDE."""
        return self.draws.normal(x, counter)

    def check(self) -> None:
        """Raises SamplingError where the last evaluation gave what is no number; names who."""
        if self._last is not None and not bool(self._last.fine):
            raise SamplingError(self._last.culprit())

    def _read(self, mask: Tensor) -> Tensor:
        """The mask on the CPU; the check of the evaluation before comes with it, in one transfer."""
        return read_masks([self], [mask])[0]


@frozen(kw_only=True)
class SingleExpertRouter:
    """The router of a sampler with one expert, K = 1, such as the monolith."""

    def start(self, x: Tensor, t: Tensor) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        """Weights of one, (B, 1), at any (x, t)."""
        return x.new_ones(len(x), 1), None


def read_masks(fields: Sequence[RoutedField], masks: Sequence[Tensor]) -> list[Tensor]:
    """The masks of all fields on the CPU, (B, K) each; the checks of their last evaluations come with them, in one
    transfer. Raises SamplingError where one of those gave what is no number."""
    checks = [field._last for field in fields]
    fine = [check.fine.view(1) for check in checks if check is not None]
    if not fine and len(masks) == 1:
        return [masks[0].cpu()]
    found = torch.cat([*(mask.flatten() for mask in masks), *fine]).cpu()
    read = torch.split_with_sizes(found, [*(mask.numel() for mask in masks), len(fine)])
    if not bool(read[-1].all()):
        raise SamplingError(next(check.culprit() for check in checks if check is not None and not bool(check.fine)))
    return [part.view(mask.shape) for part, mask in zip(read, masks, strict=False)]


def prior_of(experts: Sequence[Expert], router: Router, x: Tensor, condition: Condition | None = None) -> Prior | None:
    """The moments of all experts as x has its dtype and device, and the router's guess; None if one does not share
    them. ``condition``: of the samples."""
    moments = [expert.moments for expert in experts]
    known = [m for m in moments if m is not None]
    if len(known) < len(moments):
        return None
    guess = router.guess(x) if isinstance(router, GuessingRouter) else None
    guessed_by = read_names(router) if guess is not None else frozenset()
    return Prior(
        mean=torch.stack([m.mean.to(x) for m in known]),
        variance=torch.stack([m.variance.to(x) for m in known]),
        guess=guess,
        of_all=condition is not None and any(read_names(expert) - guessed_by for expert in experts),
    )


def start_field(
    *,
    schedule: NoiseSchedule,
    experts: Sequence[Expert],
    router: Router,
    selector: Selector,
    x: Tensor,
    t: float,
    draws: Draws,
    weights: WeightTransform = AS_THEY_ARE,
    autocast: bool = False,
    condition: Condition | None = None,
) -> RoutedField:
    """The field of trajectories that start at x, (B, *data), and time t.

    Experts of another schedule are evaluated at their own times of equal signal-to-noise ratio.
    ``weights`` is what is done to the router's weights; ``autocast`` lets networks compute in bfloat16. ``condition``:
    of the samples, B rows, for those experts and that router that read one.
    """
    if condition is not None and isinstance(router, ConditionalRouter) and router.null is not None:
        router = router.given(condition)
    return RoutedField(
        schedule=schedule,
        experts=all_snr_matched(experts, schedule),
        router=router,
        selector=selector,
        weights=weights,
        autocast=autocast,
        draws=draws,
        condition=condition,
        evaluations=torch.zeros(len(x), dtype=torch.int64, device=x.device),
        origin=torch.zeros(len(x), dtype=torch.int64, device=x.device),
        router_state=router.start(x, x.new_full((len(x),), t)),
        selector_state=selector.start(x, schedule, prior_of(experts, router, x, condition), draws),
    )
