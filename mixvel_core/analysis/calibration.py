"""Calibration of routers: their weights beside the exact posterior of the training items (D2), by time.

Two kinds of points. On *noised* items every router without a state is evaluated at random times. Along the *flow*
every router is taken down the same trajectories of the exact mixture, step by step as a sampler would: only there has
a router that integrates its posterior any weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from attrs import asdict, frozen
from torch import Tensor

from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.artifacts.files import read_json, write_json
from mixvel_core.data.items import Chosen
from mixvel_core.device import best_device
from mixvel_core.field.conversions import add_noise, at_time, ddim_step, point_for
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.experts import StoredExpert
from mixvel_core.pipeline.routers import StoredRouter
from mixvel_core.pipeline.shards import Shards
from mixvel_core.plugin.definition import ScheduleUse
from mixvel_core.protocols import Expert, Items, NoiseSchedule, ObservingRouter, Progress, Router
from mixvel_core.protocols.progress import SILENT
from mixvel_core.randomness import key, normal, permutation, uniform
from mixvel_core.recipe.dump import keyed
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
STEPS = 3 * BUCKETS
"""Of the flow."""
_COUNT, _FEW = 128, 64
_LARGE = 1 << 27
"""Numbers in a data set from which on fewer points are looked at."""


@frozen(kw_only=True)
class BucketCalibration(Calibration):
    """Of one router at times from ``low`` to ``high``. ``points``: ``noised`` items, or those of the exact ``flow``."""

    router: str
    points: str
    low: float
    high: float


HALF = "half of the items"
"""The floor: the exact posterior of a random half of each shard's items. What it misses is about single items, which no
router should learn. No router can have this name."""


@frozen(kw_only=True, eq=False)
class HalfRouter:
    """The exact posterior (D2) of the items of ``engine``."""

    schedule: NoiseSchedule
    engine: PosteriorEngine

    def start(self, x: Tensor, t: Tensor) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        """a(x, t), (B, K)."""
        return self.engine.at(x, self.schedule.at(t.double()), means=False).a, None


def half_of_items(shards: Shards, schedule: NoiseSchedule, seed: int) -> HalfRouter:
    """The router of a random half of the items of each shard, at least one, with the weights of whole shards."""
    halves = []
    for part in shards.parts:
        order = permutation(key(seed, "calibration", "half", part.index), part.count, 0)
        # In their own order: files are read from front to back.
        halves.append(Chosen(source=part.items, rows=order[: max(1, part.count // 2)].sort().values.numpy()))
    count = sum(part.count for part in shards.parts)
    fractions = tuple(part.count / count for part in shards.parts)
    return HalfRouter(schedule=schedule, engine=PosteriorEngine(shards=tuple(halves), fractions=fractions))


def calibrate(
    routers: Mapping[str, StoredRouter],
    schedule: ScheduleUse,
    shards: Shards,
    seed: int,
    folder: Path,
    points: int | None = None,
    experts: Sequence[StoredExpert] = (),
    progress: Progress = SILENT,
) -> tuple[BucketCalibration, ...]:
    """Measures every router that is not measured yet, and keeps what it finds in ``calibration/`` of the run.

    Args:
        shards: whose items define the exact posterior.
        seed: of the points, which are the same for all routers.
        points: noised items in each bucket of times, and trajectories of the flow; absent: 128, or 64 of large data.
        experts: whose answers routers that observe are given along the flow.
        progress: a bar over times; none where all is known.

    Returns:
        The rows of each router, and last those of the floor, whose router is called ``HALF``; none without routers.
    """
    if not routers:
        return ()
    if points is None:
        numbers = sum(part.count for part in shards.parts) * math.prod(shards.shape)
        points = _FEW if numbers > _LARGE else _COUNT
    keys = {**{name: router.key for name, router in routers.items()}, HALF: HALF}
    observing = {name for name, router in routers.items() if router.family.definition.observes}
    artifacts = {
        name: Artifact(
            folder=folder / "calibration",
            key=key_of(
                router=router_key,
                shards=shards.key,
                schedule=keyed(schedule),
                seed=seed,
                steps=STEPS,
                points=points,
                **({"experts": [one.key for one in experts]} if name in observing else {}),
            ),
            # Names of routers begin with a letter or a digit.
            name="_half-done" if name == HALF else f"{name}-done",
        )
        for name, router_key in keys.items()
    }
    todo = [name for name, artifact in artifacts.items() if not artifact.is_done()]
    if todo:
        device, built = best_device(), schedule.build()
        engine = PosteriorEngine(shards=tuple(part.items for part in shards.parts))
        loaded: dict[str, Router] = {
            name: half_of_items(shards, built, seed) if name == HALF else routers[name].load(device) for name in todo
        }
        answering = [one.load(device) for one in experts] if observing & set(todo) else []
        with torch.inference_mode(), progress.task("calibration", BUCKETS + STEPS + 1, "times") as bar:
            found = measure(loaded, built, engine, shards.as_one.items, seed, points, device, answering, bar.update)
        for name, made in found.items():
            write_json(_rows_file(artifacts[name]), [asdict(row) for row in made])
            artifacts[name].commit([_rows_file(artifacts[name]).name])
    rows = (row for artifact in artifacts.values() for row in read_json(_rows_file(artifact)))
    return tuple(BucketCalibration(**row) for row in rows)


def _rows_file(artifact: Artifact) -> Path:
    return artifact.folder / f"{artifact.name.removesuffix('-done')}.json"


def measure(
    routers: Mapping[str, Router],
    schedule: NoiseSchedule,
    engine: PosteriorEngine,
    items: Items,
    seed: int,
    count: int,
    device: torch.device,
    experts: Sequence[Expert] = (),
    on_time: Callable[[int], object] = lambda done: None,
) -> dict[str, list[BucketCalibration]]:
    """The rows of each router: first on noised items, where it has no state, then along the flow.

    A router that observes is given the answers of all ``experts`` along the flow. ``on_time`` is called with the number
    of times that are done, of BUCKETS and then STEPS + 1.
    """
    rows: dict[str, list[BucketCalibration]] = {name: [] for name in routers}
    chosen = permutation(key(seed, "calibration", "items"), len(items), 0)[:count]
    x_0 = torch.from_numpy(to_float(items[chosen.numpy()])).to(device)
    index = torch.arange(len(x_0), device=device)
    ends = [EARLIEST + (1.0 - EARLIEST) * b / BUCKETS for b in range(BUCKETS + 1)]
    stateless = {n: r for n, r in routers.items() if r.start(x_0[:1], x_0.new_ones(1)) is None}
    for b, (low, high) in enumerate(pairwise(ends)):
        t = low + (high - low) * uniform(key(seed, "calibration", "time"), index, b)
        eps = normal(key(seed, "calibration", "noise"), index, tuple(x_0.shape[1:]), x_0.dtype, b)
        t = t.to(x_0.dtype)
        x = add_noise(x_0, eps, point_for(schedule, t, x_0))
        exact = engine.at(x, schedule.at(t.double()), means=False).a
        for name, router in stateless.items():
            one = asdict(calibration(router.weights(x, t, None)[0], exact))
            rows[name].append(BucketCalibration(router=name, points="noised", low=low, high=high, **one))
        on_time(b + 1)
    every = torch.arange(count, device=device)
    start = normal(key(seed, "calibration", "start"), every, tuple(x_0.shape[1:]), x_0.dtype)
    answering = all_snr_matched(experts, schedule)
    for row in _along_flow(routers, schedule, engine, start, ends, answering, lambda done: on_time(BUCKETS + done)):
        rows[row.router].append(row)
    return rows


def _along_flow(
    routers: Mapping[str, Router],
    schedule: NoiseSchedule,
    engine: PosteriorEngine,
    x: Tensor,
    ends: list[float],
    experts: Sequence[Expert],
    on_time: Callable[[int], object],
) -> list[BucketCalibration]:
    """Down trajectories of the exact mixture by DDIM; the times of a bucket are taken together, data first."""
    times = [1.0 + (EARLIEST - 1.0) * n / STEPS for n in range(STEPS + 1)]
    states = {name: router.start(x, x.new_ones(len(x))) for name, router in routers.items()}
    seen: dict[str, list[Tensor]] = {name: [] for name in routers}
    exact: list[Tensor] = []
    for n, t in enumerate(times):
        at_t = x.new_full((len(x),), t)
        answer = engine.at(x, schedule.at(at_t.double()), means=n < STEPS)
        exact.append(answer.a)
        answers = None
        for name, router in routers.items():
            if isinstance(router, ObservingRouter) and experts:
                a, answers, states[name] = all_answers(router, experts, x, t, states[name], answers)
            else:
                a, states[name] = router.weights(x, at_t, states[name])
            seen[name].append(a)
        if n < STEPS:
            x = ddim_step(answer.m, x, at_time(schedule, t), at_time(schedule, times[n + 1]))
        on_time(n + 1)
    found, each = [], STEPS // BUCKETS
    for b in range(BUCKETS):
        # The first time, t = 1, where every router starts right, is of no bucket.
        part = slice(STEPS + 1 - (b + 1) * each, STEPS + 1 - b * each)
        truth = torch.cat(exact[part])
        for name in routers:
            one = asdict(calibration(torch.cat(seen[name][part]), truth))
            found.append(BucketCalibration(router=name, points="flow", low=ends[b], high=ends[b + 1], **one))
    return found
