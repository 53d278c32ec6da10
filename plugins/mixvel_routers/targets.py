"""What a router learns from: the items of all shards, noised, with their shard, the exact posterior and its rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from attrs import evolve, field, frozen
from torch import Tensor

from mixvel_core.data.conditions import class_fractions, class_spec, conditions_of, values_of
from mixvel_core.data.items import joined
from mixvel_core.field.conversions import add_noise, expand, point_for
from mixvel_core.field.posterior import Path, PosteriorAnswer, PosteriorEngine
from mixvel_core.protocols import (
    CLASS,
    Batch,
    ConditionSpec,
    Items,
    NoiseSchedule,
    Objective,
    RouterConfig,
    Shard,
)
from mixvel_core.training.options import TrainOptions
from mixvel_routers.cells import by_class


@frozen(kw_only=True)
class RouterTask:
    """The training of one network on the items of all shards, with their classes where they have some.

    Every item is as likely as any other, so the prior that a network learns is N_k / N, and N_kc / N_c under a class.

    ``make``: the shards, the schedule and a seed -> the objective; a module's function or a ``partial`` of one, because
    tasks are pickled.
    """

    members: tuple[Shard, ...]
    schedule: NoiseSchedule
    options: TrainOptions
    make: Callable[[tuple[Shard, ...], NoiseSchedule, int], Objective]

    @property
    def items(self) -> Items:
        """All items, shard by shard, each where it lies; opened at each call, so that the task itself stays small."""
        return joined(*(shard.items for shard in self.members))

    @property
    def shards(self) -> np.ndarray:
        """The place k of each item's shard in the sequence of shards."""
        return np.repeat(np.arange(len(self.members)), [shard.count for shard in self.members])

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """The class; empty where items have none. Routers read no other condition."""
        spec = class_spec(conditions_of(self.members[0]))
        return () if spec is None else (spec,)

    def condition_values(self) -> Mapping[str, Items]:
        """The class of each item, shard by shard."""
        return {spec.name: joined(*(values_of(one)[spec.name] for one in self.members)) for spec in self.conditions}

    def objective(self, seed: int) -> Objective:
        """A fresh network and its loss."""
        return self.make(self.members, self.schedule, seed)


def classes_of(batch: Batch) -> Tensor | None:
    """The class of each point, (B,), C where it has none; None where items have no classes."""
    return None if batch.condition is None else batch.condition.values.get(CLASS)


_ROWS = 1 << 14
"""Items in a block on a GPU, which has no cache to be kept to."""


@frozen(kw_only=True, eq=False)
class Among:
    """The exact posterior over some of the shards: ``places`` k of those that have items, (K',)."""

    engine: PosteriorEngine
    places: Tensor


@frozen(kw_only=True, eq=False)
class Targets:
    """The exact posterior at noised batches: of all items of all ``members``, and under a class of those that have it.

    Nothing here has a gradient.
    """

    members: tuple[Shard, ...]
    schedule: NoiseSchedule
    classes: int
    _known: dict[tuple[int, torch.device], Among] = field(factory=dict, init=False)

    @torch.no_grad()
    def at(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """x_t of a batch, (B, *data), and the posterior there, (B, K), of each point under its class."""
        x, a, _ = self._exact(batch, None)
        return x, a

    @torch.no_grad()
    def with_rates(self, batch: Batch, path: Path) -> tuple[Tensor, Tensor, Tensor]:
        """x_t and the posterior as ``at``, and its rate along a path (P2), (B, K)."""
        x, a, rates = self._exact(batch, path)
        return x, a, torch.zeros_like(a) if rates is None else rates

    @torch.no_grad()
    def of(self, x: Tensor, t: Tensor, *, means: bool) -> PosteriorAnswer:
        """The posterior without a class at points (B, *data) and times (B,), with means and rates if ``means``."""
        return self._among(self.classes, x).engine.at(x, self.schedule.at(t.double()), means=means)

    def _exact(self, batch: Batch, path: Path | None) -> tuple[Tensor, Tensor, Tensor | None]:
        x = add_noise(batch.x_0, batch.eps, point_for(self.schedule, batch.t, batch.x_0))
        classes = classes_of(batch)
        if classes is None or bool((classes == self.classes).all()):
            answer = self.of(x, batch.t, means=path is not None)
            return x, answer.a, None if path is None else self._rate(batch, answer, path)
        a = x.new_zeros(len(x), len(self.members))
        rates = None if path is None else torch.zeros_like(a)
        for c in torch.unique(classes).tolist():
            rows = (classes == c).nonzero()[:, 0]
            among = self._among(c, x)
            place = rows[:, None], among.places
            p = self.schedule.at(batch.t[rows].double())
            answer = among.engine.at(x[rows], p, means=path is not None)
            a[place] = answer.a
            if rates is not None and path is not None:
                rates[place] = self._rate(batch.rows(rows), answer, path)
        return x, a, rates

    def _rate(self, batch: Batch, answer: PosteriorAnswer, path: Path) -> Tensor:
        """P2 at the same points, (B, K')."""
        if path != "path":
            return answer.rate(path)
        p = self.schedule.at(batch.t.double())
        u = expand(p.d_alpha, batch.x_0) * batch.x_0 + expand(p.d_sigma, batch.x_0) * batch.eps
        return answer.rate(path, u)

    def _among(self, c: int, x: Tensor) -> Among:
        """That of class c, or of all items for C, near x: otherwise items would be copied to its device at each step.

        They stay where they are stored where they would take more than an eighth of the device's free memory.
        """
        if (c, x.device) not in self._known:
            parts: list[Items] = [shard.items for shard in self.members]
            if c < self.classes:
                parts = [by_class(shard, self.classes)[c].items for shard in self.members]
            places = [k for k, items in enumerate(parts) if len(items)]
            engine = PosteriorEngine(shards=tuple(parts[k] for k in places))
            among = Among(engine=_near(engine, x.device), places=torch.tensor(places, device=x.device))
            self._known[c, x.device] = among
        return self._known[c, x.device]


def _near(engine: PosteriorEngine, device: torch.device) -> PosteriorEngine:
    if device.type != "cuda":
        return engine
    size = sum(len(items) * math.prod(items.shape[1:]) * items.dtype.itemsize for items in engine.shards)
    if 8 * size >= torch.cuda.mem_get_info(device)[0]:
        return engine
    moved = tuple(torch.from_numpy(np.array(items[:])).to(device) for items in engine.shards)
    return evolve(engine, shards=moved, block=_ROWS)


def config_of(members: Sequence[Shard]) -> RouterConfig:
    """What a router that learned from the shards is loaded with: pi is N_k / N, p(c | k) is N_kc / N_k."""
    return RouterConfig(
        fractions=tuple(float(shard.count) for shard in members),
        shape=members[0].shape,
        conditions=conditions_of(members[0]),
        class_fractions=class_fractions(members),
    )


def targets_of(members: Sequence[Shard], schedule: NoiseSchedule) -> Targets:
    """The targets of the shards' items, which are read where they lie."""
    spec = class_spec(conditions_of(members[0]))
    return Targets(members=tuple(members), schedule=schedule, classes=0 if spec is None else spec.classes)
