"""The kit finds what is wrong with broken selectors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from attrs import define, evolve, frozen
from conformance import Mutant, each_mutant, require_complaint, spoilt
from torch import Tensor
from torch.nn.functional import one_hot

from mixvel_core.field.conversions import at_time
from mixvel_core.field.mixture import weighted_sum
from mixvel_core.plugin.kinds import Kind
from mixvel_core.protocols import Draws, Evaluations, NoiseSchedule, Prior


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
class SameChoice(Choice):
    """A sound selector that chooses for both estimates of a guidance: the expert of the first also for the second."""

    def select_both(self, x: Tensor, t: float, a: tuple[Tensor, Tensor], w: float, states: tuple[Turns, Turns]) -> Any:
        mask, state = self.select(x, t, a[0], states[0])
        return (mask, mask), (state, states[1])


CALLS = itertools.count(1)


def _choosing_both(mask: Callable[[Tensor], Tensor]) -> Any:
    return lambda self, x, t, a, w, states: ((mask(a[0]), _all_of(a[1])), states)


def _with_weights(weights: Callable[[Tensor], Tensor]) -> Any:
    return lambda self, x, t, a, answers, state: (weighted_sum(weights(a), answers), state)


def _taken_back(self: Choice, *call: Any) -> Any:
    call[-1].mask.zero_()
    return Choice.combine(self, *call)


def _doubled(self: Choice, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: Turns) -> Any:
    answers.m.mul_(2.0)
    return 0.5 * Choice.combine(self, x, t, a, answers, state)[0], state


def _towards_x(self: Choice, x: Tensor, *call: Any) -> Any:
    M, state = Choice.combine(self, x, *call)
    return M + 1e-3 * (x - M), state


def _flattened(self: Choice, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: Turns) -> Any:
    return Choice.combine(self, x, t, a, evolve(answers, m=answers.m.flatten(1)), state)


def _floats(self: Choice, *call: Any) -> Any:
    mask, state = Choice.select(self, *call)
    return mask.float(), state


def _selecting(mask: Callable[[Tensor], Tensor]) -> Any:
    return lambda self, x, t, a, state: (mask(a), state)


def _two_of(a: Tensor) -> Tensor:
    return torch.zeros_like(a, dtype=torch.bool).scatter_(1, a.topk(min(2, a.shape[1]), dim=1).indices, True)


def _all_of(a: Tensor) -> Tensor:
    return torch.ones_like(a, dtype=torch.bool)


def _likeliest(a: Tensor) -> Tensor:
    return one_hot(a.argmax(1), a.shape[1]).to(a)


def _choice(**methods: Any) -> Any:
    return spoilt(Choice(), **methods)


@frozen(kw_only=True, eq=False)
class Guessing:
    """The likeliest expert's answer, and a hundredth of how far it is from its guess. ``place``: rows of answers."""

    place: Callable[[Tensor], Tensor] = lambda sample: sample

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> Any:
        return (schedule, None if prior is None else prior.guess)

    def select(self, x: Tensor, t: float, a: Tensor, state: Any) -> tuple[Tensor, Any]:
        return _likeliest(a).bool(), state

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: Any) -> tuple[Tensor, Any]:
        schedule, guess = state
        i, m = answers.sample, answers.m
        if guess is not None and a.shape[1] > 1:
            g = guess.of(x.flatten(1)[i], at_time(schedule, t), answers.expert, self.place(i))
            m = m + 0.01 * (m - g.reshape(m.shape))
        M = torch.zeros_like(x)
        M[i] = m
        return M, state


SELECTORS: list[Mutant] = [
    ("nothing", Choice(), ""),
    ("weights do not sum to 1", _choice(select=_selecting(_two_of), combine=_with_weights(lambda a: a)), "weights"),
    ("0/0 on a corner", _choice(combine=_with_weights(lambda a: a.log() / a.log())), "corners"),
    ("pays for more than it uses", _choice(select=_selecting(_all_of), combine=_with_weights(_likeliest)), "cost"),
    ("hides its cost", _choice(combine=_taken_back), "mask"),
    ("asks nobody", _choice(select=_selecting(lambda a: a > 0.5)), "mask"),
    ("a mask of floats", _choice(select=_floats), "mask"),
    ("torch's own generator", _choice(uniform=lambda self, state, a: torch.rand(len(a)).double()), "determinism"),
    (
        "one draw for all",
        _choice(uniform=lambda self, state, a: Choice.uniform(self, state, a)[:1].expand(len(a))),
        "rows",
    ),
    ("one count for all", _choice(uniform=lambda self, state, a: state.draws.uniform(next(CALLS))), "trajectories"),
    ("edits the answers", _choice(combine=_doubled), "arguments"),
    ("adds to a single expert", _choice(combine=_towards_x), "single"),
    ("flattens images", _choice(combine=_flattened), "estimate"),
    ("guesses", Guessing(), ""),
    ("guesses by the place of an answer", Guessing(place=lambda i: torch.arange(len(i))), "rows"),
    ("nothing, for both estimates", SameChoice(), ""),
    ("asks nobody for one estimate", spoilt(SameChoice(), select_both=_choosing_both(lambda a: a > 0.9)), "both"),
    ("adds up the answers of both", spoilt(SameChoice(), select_both=_choosing_both(_two_of)), "both"),
    ("masks of floats for both", spoilt(SameChoice(), select_both=_choosing_both(_likeliest)), "both"),
]


@each_mutant({"selector": SELECTORS})
def test_broken_components_are_named_and_sound_ones_pass(kind: Kind, component: object, check: str) -> None:
    require_complaint(kind, check, component)
