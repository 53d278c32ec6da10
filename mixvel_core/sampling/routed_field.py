"""RoutedField: router, weight transform, selector and experts as one denoiser for an integrator, with its cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from attrs import define, field, frozen
from torch import Tensor

from mixvel_core.errors import SamplingError
from mixvel_core.protocols import Draws, Evaluations, Expert, NoiseSchedule, Prior, Router, Selector
from mixvel_core.sampling.dispatch import evaluate, first_not_finite
from mixvel_core.sampling.snr_matched import snr_matched


@frozen(kw_only=True)
class WeightTransform:
    """a -> a^(1/temperature), scaled to sum 1; then what is below ``floor`` is dropped, and scaled again.

    ``temperature`` > 0: 1 changes nothing, less sharpens, more flattens. ``floor`` in [0, 1): the likeliest expert is
    never dropped.
    """

    temperature: float = 1.0
    floor: float = 0.0

    def __call__(self, a: Tensor) -> Tensor:
        """The weights to select by, (B, K), rows on the simplex; the same tensor where nothing is to be done."""
        if self.temperature != 1.0:
            # Of the logarithm: powers of small weights underflow. Relative to the largest: 0 stays 0, however sharp.
            likely = a.double().log()
            a = ((likely - likely.amax(1, keepdim=True)) / self.temperature).softmax(1).to(a.dtype)
        if self.floor > 0.0:
            kept = a.masked_fill((a < self.floor) & (a < a.amax(1, keepdim=True)), 0.0)
            a = kept / kept.sum(1, keepdim=True)
        return a


AS_THEY_ARE = WeightTransform()
"""Weights as the router gives them."""

_OFF = 0.01
"""How far the sum of a row of weights may be from 1; bfloat16 is not exact."""


@define(kw_only=True)
class RoutedField:
    """The field along the trajectories of one batch. Keeps the states, so it lives as long as one sampling run.

    ``evaluations``: expert calls of each sample so far, (B,). ``usage``: for each call of the field, the share of
    samples that evaluated each expert, (K,). ``times``: the times of those calls.
    """

    schedule: NoiseSchedule
    experts: Sequence[Expert]
    router: Router
    selector: Selector
    weights: WeightTransform
    autocast: bool
    evaluations: Tensor
    usage: list[Tensor] = field(factory=list)
    times: list[float] = field(factory=list)
    _router_state: Any
    _selector_state: Any

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """M, an estimate of m(x, t): one question to the router, one selection, the selected experts."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.autocast):
            a, self._router_state = self.router.weights(x, x.new_full((len(x),), t), self._router_state)
        a = a.to(x.dtype)
        if a.shape != (len(x), len(self.experts)):
            raise SamplingError(
                f"the router returned weights of shape {tuple(a.shape)} for {len(x)} points and "
                f"{len(self.experts)} experts at t={t:.4g}"
            )
        told = a.sum(1)
        a = self.weights(a)
        mask, self._selector_state = self.selector.select(x, t, a, self._selector_state)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.autocast):
            answers = evaluate(self.experts, x, t, mask, len(self.times) + 1)
        M, self._selector_state = self.selector.combine(x, t, a, answers, self._selector_state)
        # One look at everything; the search for the culprit is only made when there is one.
        if not bool(M.isfinite().all() & ((told - 1.0).abs() < _OFF).all()):
            raise SamplingError(self._culprit(told, answers, t))
        self.evaluations += mask.sum(1)
        self.usage.append(mask.to(torch.float32).mean(0))
        self.times.append(t)
        return M

    def _culprit(self, told: Tensor, answers: Evaluations, t: float) -> str:
        call = f"at t={t:.4g}, evaluation {len(self.times) + 1} of the field"
        if not bool(told.isfinite().all()):
            return f"the router returned weights that are not finite {call}"
        off = (told - 1.0).abs()
        if not bool((off < _OFF).all()):
            return f"the router returned weights whose sum is {float(told[off.argmax()]):.3g}, not 1, {call}"
        expert = first_not_finite(answers)
        if expert is not None:
            return f"expert {expert} returned values that are not finite {call}"
        return f"the selector returned values that are not finite {call}"


def prior_of(experts: Sequence[Expert], x: Tensor) -> Prior | None:
    """The moments of all experts as x has its dtype and device; None if one does not share them."""
    moments = [expert.moments for expert in experts]
    known = [m for m in moments if m is not None]
    if len(known) < len(moments):
        return None
    return Prior(
        mean=torch.stack([m.mean.to(x) for m in known]), variance=torch.stack([m.variance.to(x) for m in known])
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
) -> RoutedField:
    """The field of trajectories that start at x, (B, *data), and time t.

    Experts of another schedule are asked at their own times of equal signal-to-noise ratio (``reclocked``).
    ``weights`` is what is done to the router's weights; ``autocast`` lets networks compute in bfloat16.
    """
    return RoutedField(
        schedule=schedule,
        experts=[snr_matched(expert, schedule) for expert in experts],
        router=router,
        selector=selector,
        weights=weights,
        autocast=autocast,
        evaluations=torch.zeros(len(x), dtype=torch.int64, device=x.device),
        router_state=router.start(x, x.new_full((len(x),), t)),
        selector_state=selector.start(x, schedule, prior_of(experts, x), draws),
    )
