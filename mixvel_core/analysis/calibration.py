"""Calibration of routers: their weights beside the exact posterior of the training items (D2), by time.

Two kinds of points. On *noised* items every router without a state is evaluated at random times. Along the *flow*
every router is taken down the same trajectories of the exact mixture, step by step as a sampler would: only there has
a router that integrates its posterior any weights. Where items have classes, both are made once more *by class*: beside
the exact posterior, and along the flow, of the items of each point's own class. A router that reads no class gives
p(k | x) there, as it does under guidance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
from attrs import asdict, evolve, frozen
from torch import Tensor

from mixvel_core.field.class_posterior import ClassPosterior
from mixvel_core.field.conversions import add_noise, at_time, ddim_step, point_for
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import (
    CLASS,
    Condition,
    ConditionalRouter,
    Expert,
    Items,
    NoiseSchedule,
    ObservingRouter,
    Router,
)
from mixvel_core.randomness import key, normal, permutation, uniform
from mixvel_core.sampling.observation import all_answers
from mixvel_core.sampling.snr_matched import all_snr_matched

BINS = 10
LEAST = 1e-6
"""Smaller weights count as this in the cross entropy, which would be infinite for a router that rules shards out."""


@frozen(kw_only=True)
class Calibration:
    """``total_variation``: mean of sum_k abs(a_k - exact_k) / 2. ``calibration_error``: the expected calibration error
    of the expert with the most weight. ``cross_entropy``: mean of -sum_k exact_k log a_k, in nats, of which ``entropy``
    is the least possible. ``count``: points.
    """

    total_variation: float
    calibration_error: float
    cross_entropy: float
    entropy: float
    count: int


def calibration(a: Tensor, exact: Tensor) -> Calibration:
    """Compares a router's weights with the exact posterior (D2) at the same points.

    The calibration error takes points together whose largest weight lies in the same of ten equal parts of [0, 1], and
    compares the mean of these weights with the mean exact posterior of the same experts: the labels that are usually
    compared are replaced by their expectation, which leaves no noise of labels.

    Args:
        a: (B, K), rows on the simplex.
        exact: (B, K), the same.
    """
    a, exact = a.double().cpu(), exact.double().cpu()
    most, expert = a.max(dim=1)
    truth = exact.gather(1, expert[:, None])[:, 0]
    place = (most * BINS).long().clamp_max(BINS - 1)
    gaps = a.new_zeros(BINS).index_add_(0, place, most - truth)
    return Calibration(
        total_variation=float((a - exact).abs().sum(1).mean() / 2),
        # The weight of a bin times its mean gap is the sum of its gaps over all points.
        calibration_error=float(gaps.abs().sum() / len(a)),
        cross_entropy=float(-(exact * a.clamp_min(LEAST).log()).sum(1).mean()),
        entropy=float(-(exact * exact.clamp_min(LEAST).log()).sum(1).mean()),
        count=len(a),
    )


BUCKETS = 8
EARLIEST = 0.01
ENDS = tuple(EARLIEST + (1.0 - EARLIEST) * b / BUCKETS for b in range(BUCKETS + 1))
"""Of the buckets."""
STEPS = 3 * BUCKETS
"""Of the flow."""


@frozen(kw_only=True)
class BucketCalibration(Calibration):
    """Of one router at times from ``low`` to ``high``. ``points``: ``noised`` items, or those of the exact ``flow``;
    under the classes of the items ``noised by class`` and ``flow by class``."""

    router: str
    points: str
    low: float
    high: float


def measure(
    routers: Mapping[str, Router],
    schedule: NoiseSchedule,
    posterior: ClassPosterior,
    items: Items,
    seed: int,
    count: int,
    device: torch.device,
    experts: Sequence[Expert] = (),
    on_time: Callable[[int], object] = lambda done: None,
    *,
    conditions: Mapping[str, Items] | None = None,
) -> dict[str, list[BucketCalibration]]:
    """The rows of each router: on noised items, where it has no state, then along the flow; then the same by class.

    A router that observes is given the answers of all ``experts`` along the flow. ``on_time`` is called with the number
    of times that are done, of BUCKETS and then STEPS + 1. ``conditions``: of the items, their class among them.
    """
    rows: dict[str, list[BucketCalibration]] = {name: [] for name in routers}
    chosen = permutation(key(seed, "calibration", "items"), len(items), 0)[:count]
    x_0 = torch.from_numpy(to_float(items[chosen.numpy()])).to(device)
    start = normal(
        key(seed, "calibration", "start"), torch.arange(count, device=device), tuple(x_0.shape[1:]), x_0.dtype
    )
    answering = all_snr_matched(experts, schedule)
    view = View(schedule=schedule, posterior=posterior, routers=routers, experts=answering, on_time=on_time)
    found = [*view.noised(x_0, seed), *view.flow(start)]
    if conditions is not None:
        condition = _condition(conditions, chosen.numpy()).to(device)
        again = evolve(view, on_time=lambda n: on_time(BUCKETS + STEPS + 1 + n))
        turns = torch.arange(count, device=device) % len(condition)
        found += [*again.given(condition).noised(x_0, seed), *again.given(condition.rows(turns)).flow(start)]
    for row in found:
        rows[row.router].append(row)
    return rows


def _condition(conditions: Mapping[str, Items], chosen: np.ndarray) -> Condition:
    rows = {name: np.asarray(values[chosen]) for name, values in conditions.items()}
    return Condition(
        values={
            name: torch.from_numpy(found.astype(np.float32 if found.dtype.kind == "f" else np.int64))
            for name, found in rows.items()
        }
    )


@frozen(kw_only=True, eq=False)
class View:
    """Routers beside the exact posterior, without a condition, or under that of the points, (B rows)."""

    schedule: NoiseSchedule
    posterior: ClassPosterior
    routers: Mapping[str, Router]
    experts: Sequence[Expert]
    on_time: Callable[[int], object]
    condition: Condition | None = None

    def given(self, condition: Condition) -> Self:
        """The same under a condition; routers that read none stay as they are."""
        routers = {
            name: one.given(condition) if isinstance(one, ConditionalRouter) and one.null is not None else one
            for name, one in self.routers.items()
        }
        return evolve(self, routers=routers, condition=condition)

    @property
    def classes(self) -> Tensor | None:
        """Of the points, (B,) int64; None without a condition."""
        return None if self.condition is None else self.condition.values[CLASS]

    @property
    def suffix(self) -> str:
        """What the points are called besides."""
        return "" if self.condition is None else " by class"

    def noised(self, x_0: Tensor, seed: int) -> Iterator[BucketCalibration]:
        """The routers without a state at noised items, (B, *data), one bucket of times after the other."""
        index = torch.arange(len(x_0), device=x_0.device)
        stateless = {n: r for n, r in self.routers.items() if self._start(r, x_0) is None}
        for b, (low, high) in enumerate(pairwise(ENDS)):
            t = low + (high - low) * uniform(key(seed, "calibration", "time"), index, b)
            eps = normal(key(seed, "calibration", "noise"), index, tuple(x_0.shape[1:]), x_0.dtype, b)
            t = t.to(x_0.dtype)
            x = add_noise(x_0, eps, point_for(self.schedule, t, x_0))
            exact, _ = self.posterior.at(x, self.schedule.at(t.double()), self.classes, means=False)
            for name, router in stateless.items():
                one = asdict(calibration(router.weights(x, t, None)[0], exact))
                yield BucketCalibration(router=name, points=f"noised{self.suffix}", low=low, high=high, **one)
            self.on_time(b + 1)

    def flow(self, x: Tensor) -> list[BucketCalibration]:
        """Down trajectories of the exact mixture by DDIM; the times of a bucket are taken together, data first."""
        times = [1.0 + (EARLIEST - 1.0) * n / STEPS for n in range(STEPS + 1)]
        states = {name: self._start(router, x) for name, router in self.routers.items()}
        seen: dict[str, list[Tensor]] = {name: [] for name in self.routers}
        exact: list[Tensor] = []
        for n, t in enumerate(times):
            at_t = x.new_full((len(x),), t)
            a_exact, m = self.posterior.at(x, self.schedule.at(at_t.double()), self.classes, means=n < STEPS)
            exact.append(a_exact)
            answers = None
            for name, router in self.routers.items():
                if isinstance(router, ObservingRouter) and self.experts:
                    a, answers, states[name] = all_answers(
                        router, self.experts, x, t, states[name], answers, self.condition
                    )
                else:
                    a, states[name] = router.weights(x, at_t, states[name])
                seen[name].append(a)
            if m is not None:
                x = ddim_step(m, x, at_time(self.schedule, t), at_time(self.schedule, times[n + 1]))
            self.on_time(BUCKETS + n + 1)
        found, each = [], STEPS // BUCKETS
        for b, (low, high) in enumerate(pairwise(ENDS)):
            # The first time, t = 1, where every router starts right, is of no bucket.
            part = slice(STEPS + 1 - (b + 1) * each, STEPS + 1 - b * each)
            truth = torch.cat(exact[part])
            for name in self.routers:
                one = asdict(calibration(torch.cat(seen[name][part]), truth))
                found.append(BucketCalibration(router=name, points=f"flow{self.suffix}", low=low, high=high, **one))
        return found

    @staticmethod
    def _start(router: Router, x: Tensor) -> Any:
        return router.start(x, x.new_ones(len(x)))
