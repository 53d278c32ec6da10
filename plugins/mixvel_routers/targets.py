"""What a router learns from: the items of all shards, noised, with their shard, the exact posterior and its rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.data.conditions import class_fractions, class_spec, conditions_of, items_by_class, values_of
from mixvel_core.data.items import joined
from mixvel_core.field.class_posterior import ClassPosterior
from mixvel_core.field.conversions import add_noise, expand, point_for
from mixvel_core.field.posterior import Path, PosteriorAnswer
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


@frozen(kw_only=True, eq=False)
class Targets:
    """The exact posterior at noised batches: of all items, and under a class of those that have it.

    Nothing here has a gradient.
    """

    members: tuple[Shard, ...]
    schedule: NoiseSchedule
    posterior: ClassPosterior

    @torch.no_grad()
    def at(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """x_t of a batch, (B, *data), and the posterior there, (B, K), of each point under its class."""
        x = self._noised(batch)
        return x, self.posterior.at(x, self.schedule.at(batch.t.double()), classes_of(batch), means=False)[0]

    @torch.no_grad()
    def with_rates(self, batch: Batch, path: Path) -> tuple[Tensor, Tensor, Tensor]:
        """x_t and the posterior as ``at``, and its rate along a path (P2), (B, K)."""
        x = self._noised(batch)
        a = x.new_zeros(len(x), len(self.members))
        rates = torch.zeros_like(a)
        for rows, among in self.posterior.groups(x, classes_of(batch)):
            part, place = batch.rows(rows), (rows[:, None], among.places)
            answer = among.engine.at(x[rows], self.schedule.at(part.t.double()))
            a[place], rates[place] = answer.a, self._rate(part, answer, path)
        return x, a, rates

    @torch.no_grad()
    def of(self, x: Tensor, t: Tensor, *, means: bool) -> PosteriorAnswer:
        """The posterior without a class at points (B, *data) and times (B,), with means and rates if ``means``."""
        engine = self.posterior.among(self.posterior.classes, x.device).engine
        return engine.at(x, self.schedule.at(t.double()), means=means)

    def _noised(self, batch: Batch) -> Tensor:
        return add_noise(batch.x_0, batch.eps, point_for(self.schedule, batch.t, batch.x_0))

    def _rate(self, batch: Batch, answer: PosteriorAnswer, path: Path) -> Tensor:
        """P2 at the same points, (B, K')."""
        if path != "path":
            return answer.rate(path)
        p = self.schedule.at(batch.t.double())
        u = expand(p.d_alpha, batch.x_0) * batch.x_0 + expand(p.d_sigma, batch.x_0) * batch.eps
        return answer.rate(path, u)


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
    parts = (*items_by_class(members), [shard.items for shard in members])
    return Targets(members=tuple(members), schedule=schedule, posterior=ClassPosterior(parts=parts))
