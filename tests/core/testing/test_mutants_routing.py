"""The kit bites: broken routers and selectors are caught, and told what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from attrs import define, evolve, field, frozen
from conformance import complaint, failures
from torch import Tensor

from mixvel_core.field.conversions import point_for
from mixvel_core.field.mixture import weighted_sum
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import Draws, Evaluations, NoiseSchedule, Prior, RouterConfig, Shard, TrainTask

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
    K: int | None = None

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        return {}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        means = torch.stack([torch.tensor(to_float(shard.items[:])).mean(0) for shard in shards])
        return {} if self.forget else {"means": means}

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> Any:
        K = self.K or len(config.fractions)
        means = tensors.get("means", torch.rand(K, *config.shape))
        return self.make(means[:1].expand(K, *config.shape) if self.K else means, schedule, self.change)


def _edit(a: Tensor, x: Tensor, t: Tensor) -> Tensor:
    x.sub_(x.mean())
    return a


def _one_time(a: Tensor, x: Tensor, t: Tensor) -> Tensor:
    return (a.log() * (1 + t[0])).softmax(1)


ROUTERS: list[tuple[str, object, str, str]] = [
    ("do not sum to 1", NearFamily(change=lambda a, x, t: 1.1 * a), "simplex", r"at t = 1 sum to 1\.1, not to 1"),
    ("logits", NearFamily(change=lambda a, x, t: a.log()), "simplex", "a weight at t = 1 is negative"),
    (
        "NaN near data",
        NearFamily(change=lambda a, x, t: a * (t / t)[:, None]),
        "simplex",
        r"the weights at t = 0: 12 of 12 values are NaN.*softmax",
    ),
    ("a number of experts of its own", NearFamily(K=5), "simplex", r"float32 \(4, 5\) for 4 points and 3 experts"),
    ("one-hot as integers", NearFamily(change=lambda a, x, t: (a > 0.5).long()), "simplex", "int64"),
    (
        "over the wrong axis",
        NearFamily(change=lambda a, x, t: (5 * a).softmax(0) / (5 * a).softmax(0).sum(1, keepdim=True)),
        "rows",
        "a of a point depends on the other points of its batch",
    ),
    (
        "one time for all",
        NearFamily(change=_one_time),
        "own_times",
        "t\\[0\\] and t.mean\\(\\) are not the batch's time",
    ),
    ("edits x", NearFamily(change=_edit), "arguments", "x was edited in place"),
    (
        "a second call goes on",
        NearFamily(make=lambda m, s, c: Smoothed(means=m, schedule=s, change=c)),
        "state",
        "a call at the same x and t = .* does not replace the one before",
    ),
    (
        "state in itself",
        NearFamily(make=lambda m, s, c: InItself(inner=Near(means=m, schedule=s, change=c))),
        "trajectories",
        "another trajectory of the same router changes the weights",
    ),
    ("forgets its tensors", NearFamily(forget=True), "round_trip", "answers differently"),
]


@pytest.mark.parametrize(("family", "check", "message"), [c[1:] for c in ROUTERS], ids=[c[0] for c in ROUTERS])
def test_broken_routers_are_named(family: object, check: str, message: str) -> None:
    assert re.search(message, complaint("router", check, family))


def test_the_sound_router_that_they_spoil_passes() -> None:
    assert failures("router", NearFamily()) == {}


@define(kw_only=True, eq=False)
class Turns:
    """The state of ``Choice``."""

    draws: Draws
    calls: int = 0
    mask: Tensor | None = None


@frozen(kw_only=True)
class Choice:
    """A sound selector: one expert drawn by its weight. The mutants replace a step of it."""

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> Turns:
        return Turns(draws=draws)

    def uniform(self, state: Turns, a: Tensor) -> Tensor:
        return state.draws.uniform(state.calls)

    def select(self, x: Tensor, t: float, a: Tensor, state: Turns) -> tuple[Tensor, Turns]:
        passed = (a.double().cumsum(1) < self.uniform(state, a)[:, None]).sum(1).clamp_max(a.shape[1] - 1)
        state.calls += 1
        state.mask = torch.zeros_like(a, dtype=torch.bool).scatter_(1, passed[:, None], True)
        return state.mask, state

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: Turns) -> tuple[Tensor, Turns]:
        return weighted_sum(torch.ones_like(a), answers), state


@frozen(kw_only=True)
class NotScaled(Choice):
    """The two likeliest, their weights as they are."""

    def select(self, x: Tensor, t: float, a: Tensor, state: Turns) -> tuple[Tensor, Turns]:
        best = a.topk(min(2, a.shape[1]), dim=1).indices
        return torch.zeros_like(a, dtype=torch.bool).scatter_(1, best, True), state

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: Turns) -> tuple[Tensor, Turns]:
        return weighted_sum(a, answers), state


@frozen(kw_only=True)
class Inverse(Choice):
    """Importance weights where there was no need: divides by a_k."""

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: Turns) -> tuple[Tensor, Turns]:
        return weighted_sum(a.log() / a.log(), answers), state


@frozen(kw_only=True)
class AsksAll(Choice):
    """Asks everyone, and uses the likeliest."""

    def select(self, x: Tensor, t: float, a: Tensor, state: Turns) -> tuple[Tensor, Turns]:
        return torch.ones_like(a, dtype=torch.bool), state

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: Turns) -> tuple[Tensor, Turns]:
        return weighted_sum(torch.nn.functional.one_hot(a.argmax(1), a.shape[1]).to(a), answers), state


@frozen(kw_only=True)
class Cheap(Choice):
    """Takes back what it asked for once it has been answered."""

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: Turns) -> tuple[Tensor, Turns]:
        assert state.mask is not None
        state.mask.zero_()
        return super().combine(x, t, a, answers, state)


@frozen(kw_only=True)
class Threshold(Choice):
    """Asks those above a half, which may be nobody."""

    def select(self, x: Tensor, t: float, a: Tensor, state: Turns) -> tuple[Tensor, Turns]:
        return a > 0.5, state


@frozen(kw_only=True)
class Indices(Choice):
    def select(self, x: Tensor, t: float, a: Tensor, state: Turns) -> tuple[Tensor, Turns]:
        mask, state = super().select(x, t, a, state)
        return mask.to(a), state


@frozen(kw_only=True)
class GlobalRandom(Choice):
    def uniform(self, state: Turns, a: Tensor) -> Tensor:
        return torch.rand(len(a), dtype=torch.float64)


@frozen(kw_only=True)
class OneForAll(Choice):
    """One draw for the whole batch."""

    def uniform(self, state: Turns, a: Tensor) -> Tensor:
        return super().uniform(state, a)[:1].expand(len(a))


@frozen(kw_only=True, eq=False)
class SharedCount(Choice):
    """Counts the draws of all trajectories together."""

    counts: list[int] = field(factory=list)

    def uniform(self, state: Turns, a: Tensor) -> Tensor:
        self.counts.append(1)
        return state.draws.uniform(len(self.counts))


@frozen(kw_only=True)
class Greedy(Choice):
    """Uses the answers' room for its own."""

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: Turns) -> tuple[Tensor, Turns]:
        answers.m.mul_(2.0)
        M, state = super().combine(x, t, a, answers, state)
        return 0.5 * M, state


@frozen(kw_only=True)
class Shrinks(Choice):
    """Mixes in a little of x."""

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: Turns) -> tuple[Tensor, Turns]:
        M, state = super().combine(x, t, a, answers, state)
        return M + 1e-3 * (x - M), state


@frozen(kw_only=True)
class VectorsOnly(Choice):
    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: Turns) -> tuple[Tensor, Turns]:
        flat = evolve(answers, m=answers.m.flatten(1))
        M, state = super().combine(x, t, a, flat, state)
        return M, state


SELECTORS: list[tuple[str, object, str, str]] = [
    ("weights do not sum to 1", NotScaled(), "weights", r"call 1 at t = 1 gives 0\.\d+ times their answer"),
    ("0/0 on a corner", Inverse(), "corners", "with all weight on one expert: .* NaN"),
    ("pays for more than it uses", AsksAll(), "cost", "asks expert .* for .* samples, and ignores the answer"),
    ("hides its cost", Cheap(), "mask", "the mask at t = 1 was changed after it had been returned"),
    ("asks nobody", Threshold(), "mask", "asks no expert for . of 5 samples"),
    ("a mask of floats", Indices(), "mask", "the mask at t = 1 is float64"),
    ("torch's own generator", GlobalRandom(), "determinism", "take random numbers from `draws.uniform"),
    ("one draw for all", OneForAll(), "rows", "sample 1 is treated differently alone and in a batch"),
    ("one count for all", SharedCount(), "trajectories", "another batch of the same selector changes the choices"),
    ("edits the answers", Greedy(), "arguments", "answers was edited in place"),
    ("adds to a single expert", Shrinks(), "single", r"with one expert, call 1 at t = 1 is off its answer"),
    ("flattens images", VectorsOnly(), "estimate", r"M at t = 1 is float32 \(5, 18\) where float32 \(5, 2, 3, 3\)"),
]


@pytest.mark.parametrize(("selector", "check", "message"), [c[1:] for c in SELECTORS], ids=[c[0] for c in SELECTORS])
def test_broken_selectors_are_named(selector: object, check: str, message: str) -> None:
    assert re.search(message, complaint("selector", check, selector))


def test_the_sound_selector_that_they_spoil_passes() -> None:
    assert failures("selector", Choice()) == {}
