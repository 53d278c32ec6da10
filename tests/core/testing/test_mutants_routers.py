"""The kit finds what is wrong with broken routers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from attrs import define, frozen
from conformance import Mutant, each_mutant, require_complaint, spoilt
from torch import Tensor

from mixvel_core.field.conversions import point_for
from mixvel_core.field.scale import to_float
from mixvel_core.plugin.kinds import Kind
from mixvel_core.protocols import Evaluations, NoiseSchedule, RouterConfig, Shard, TrainTask

Change = Callable[[Tensor, Tensor, Tensor], Tensor]


@frozen(kw_only=True, eq=False)
class Near:
    """a_k falls with the distance of x from alpha times the mean of shard k; ``change(a, x, t)`` may spoil it."""

    means: Tensor
    schedule: NoiseSchedule
    change: Change

    def start(self, x: Tensor, t: Tensor) -> Any:
        return None

    def weights(self, x: Tensor, t: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.change(self.plain(x, t), x, t), None

    def plain(self, x: Tensor, t: Tensor) -> Tensor:
        alpha = point_for(self.schedule, t, x).alpha.reshape(-1, 1)
        centres = alpha * self.means.to(x).flatten(1).mean(1)
        return (-((x.flatten(1).mean(1, keepdim=True) - centres) ** 2)).softmax(1)


@frozen(kw_only=True, eq=False)
class Smoothed(Near):
    """Half of the old weights, half of the new ones, at every call: asked twice at a time, it goes on."""

    def start(self, x: Tensor, t: Tensor) -> Any:
        return self.plain(x, t)

    def weights(self, x: Tensor, t: Tensor, state: Any) -> tuple[Tensor, Any]:
        a = 0.5 * state + 0.5 * self.plain(x, t)
        return a, a


@define(kw_only=True, eq=False)
class InItself:
    """Smooths too, but keeps what it smooths with in itself."""

    inner: Near
    last: Tensor | None = None

    def start(self, x: Tensor, t: Tensor) -> Any:
        self.last = self.inner.plain(x, t)

    def weights(self, x: Tensor, t: Tensor, state: Any) -> tuple[Tensor, Any]:
        assert self.last is not None
        fresh = self.inner.plain(x, t)
        self.last = 0.9 * self.last + 0.1 * fresh
        return self.last, None


@frozen(kw_only=True, eq=False)
class Hearing(Near):
    """Leans towards experts whose answers are near x: the mean over them, as if at the last time they answered.

    ``mend(router, state, score)`` is what it remembers of the scores of the answers, (B, K).
    """

    mend: Callable[[Any, Tensor, Tensor], Tensor] = lambda self, state, score: score

    def start(self, x: Tensor, t: Tensor) -> Any:
        return x.new_zeros(len(x), len(self.means))

    def weights(self, x: Tensor, t: Tensor, state: Any) -> tuple[Tensor, Any]:
        return (self.plain(x, t).log() + state).softmax(1), state

    def observe(self, x: Tensor, t: Tensor, answers: Evaluations, ask: Any, state: Any) -> Any:
        score = torch.zeros_like(state)
        gap = (answers.m - x[answers.sample]).flatten(1)
        score[answers.sample, answers.expert] = -gap.square().mean(1)
        return self.mend(self, state, score)


@define(kw_only=True, eq=False)
class HeardByAll:
    """Hears too, but keeps the scores in itself, half of the old ones each time."""

    inner: Hearing
    score: Tensor | float = 0.0

    def start(self, x: Tensor, t: Tensor) -> Any:
        self.score = 0.0

    def weights(self, x: Tensor, t: Tensor, state: Any) -> tuple[Tensor, Any]:
        return (self.inner.plain(x, t).log() + self.score).softmax(1), None

    def observe(self, x: Tensor, t: Tensor, answers: Evaluations, ask: Any, state: Any) -> Any:
        self.score = 0.5 * self.score + self.inner.observe(x, t, answers, ask, self.inner.start(x, t))


def _doubles_answers(m: Tensor, s: NoiseSchedule, c: Change) -> Any:
    def observe(self: Hearing, x: Tensor, t: Tensor, answers: Evaluations, ask: Any, state: Any) -> Any:
        answers.m.mul_(2.0)
        return state

    return spoilt(Hearing(means=m, schedule=s, change=c), observe=observe)


def _hearing(mend: Callable[[Any, Tensor, Tensor], Tensor]) -> Any:
    return lambda m, s, c: Hearing(means=m, schedule=s, change=c, mend=mend)


def _same(a: Tensor, x: Tensor, t: Tensor) -> Tensor:
    return a


def _load(means: Tensor, schedule: NoiseSchedule, change: Change) -> Any:
    return Near(means=means, schedule=schedule, change=change)


@frozen(kw_only=True)
class NearFamily:
    """A sound family of routers without training; each field is a way to spoil it."""

    change: Change = _same
    make: Callable[[Tensor, NoiseSchedule, Change], Any] = _load
    forget: bool = False

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        return {}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        means = torch.stack([torch.tensor(to_float(shard.items[:])).mean(0) for shard in shards])
        return {} if self.forget else {"means": means}

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> Any:
        means = tensors.get("means", torch.rand(len(config.fractions), *config.shape))
        return self.make(means, schedule, self.change)


def _edit(a: Tensor, x: Tensor, t: Tensor) -> Tensor:
    x.sub_(x.mean())
    return a


def _one_time(a: Tensor, x: Tensor, t: Tensor) -> Tensor:
    return (a.log() * (1 + t[0])).softmax(1)


ROUTERS: list[Mutant] = [
    ("nothing", NearFamily(), ""),
    ("do not sum to 1", NearFamily(change=lambda a, x, t: 1.1 * a), "simplex"),
    ("logits", NearFamily(change=lambda a, x, t: a.log()), "simplex"),
    ("NaN near data", NearFamily(change=lambda a, x, t: a * (t / t)[:, None]), "simplex"),
    ("one-hot as integers", NearFamily(change=lambda a, x, t: (a > 0.5).long()), "simplex"),
    (
        "over the wrong axis",
        NearFamily(change=lambda a, x, t: (5 * a).softmax(0) / (5 * a).softmax(0).sum(1, keepdim=True)),
        "rows",
    ),
    ("one time for all", NearFamily(change=_one_time), "own_times"),
    ("edits x", NearFamily(change=_edit), "arguments"),
    ("a second call goes on", NearFamily(make=lambda m, s, c: Smoothed(means=m, schedule=s, change=c)), "state"),
    (
        "state in itself",
        NearFamily(make=lambda m, s, c: InItself(inner=Near(means=m, schedule=s, change=c))),
        "trajectories",
    ),
    ("forgets its tensors", NearFamily(forget=True), "round_trip"),
    ("hears", NearFamily(make=_hearing(lambda self, state, score: score)), ""),
    ("adds what it hears twice", NearFamily(make=_hearing(lambda self, state, score: state + score)), "observe"),
    ("hears the batch", NearFamily(make=_hearing(lambda self, state, score: score + score.mean(0))), "observe"),
    (
        "NaN of those not heard",
        NearFamily(make=_hearing(lambda self, state, score: score / (score != 0))),
        "observe",
    ),
    ("edits answers", NearFamily(make=_doubles_answers), "observe"),
    (
        "hears for all",
        NearFamily(make=lambda m, s, c: HeardByAll(inner=Hearing(means=m, schedule=s, change=c))),
        "observe",
    ),
]


@each_mutant({"router": ROUTERS})
def test_broken_components_are_named_and_sound_ones_pass(kind: Kind, component: object, check: str) -> None:
    require_complaint(kind, check, component)
