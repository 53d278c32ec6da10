"""The kit bites: broken schedules and integrators are caught, and told what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from attrs import define, evolve, frozen
from conformance import Mutant, each_mutant, require_complaint, spoilt
from torch import Tensor

from mixvel_core.field.conversions import at_time, velocity
from mixvel_core.plugin.kinds import Kind
from mixvel_core.protocols import Field, SchedulePoint
from mixvel_core.testing.problems import Circle


@frozen(kw_only=True)
class Changed:
    """A sound schedule whose points are changed after the fact."""

    change: Callable[[SchedulePoint, Tensor], SchedulePoint]

    def at(self, t: Tensor) -> SchedulePoint:
        return self.change(Circle().at(t), t)


def _edited(self: Circle, t: Tensor) -> SchedulePoint:
    return Circle().at(t.mul_(1.0 - 1e-12).clamp_(0.0, 0.999))


def _wavy(p: SchedulePoint, t: Tensor) -> SchedulePoint:
    return evolve(p, sigma=p.sigma * (1 + 0.2 * (30 * t).sin()))


def _of_the_batch(p: SchedulePoint, t: Tensor) -> SchedulePoint:
    return evolve(p, alpha=p.alpha / p.alpha.max())


def _with(change: Callable[[SchedulePoint, Tensor], SchedulePoint]) -> Changed:
    return Changed(change=change)


SCHEDULES: list[Mutant] = [
    ("nothing", Circle(), ""),
    ("sign of d_sigma", _with(lambda p, t: evolve(p, d_sigma=-p.d_sigma)), "derivatives"),
    ("d_alpha at the end", _with(lambda p, t: evolve(p, d_alpha=torch.where(t == 1, 0.0, p.d_alpha))), "derivatives"),
    ("d_sigma at 0", _with(lambda p, t: evolve(p, d_sigma=torch.where(t == 0, 0.0, p.d_sigma))), "start_of_sigma"),
    ("time runs backwards", spoilt(Circle(), at=lambda self, t: Circle().at(1 - t)), "ends"),
    ("alpha(0) is not 1", _with(lambda p, t: evolve(p, alpha=0.9 * p.alpha, d_alpha=0.9 * p.d_alpha)), "ends"),
    ("NaN at t = 1", _with(lambda p, t: evolve(p, d_alpha=p.alpha * (p.d_alpha / p.alpha))), "ends"),
    ("SNR is not monotone", _with(_wavy), "monotone"),
    ("always float32", _with(lambda p, t: evolve(p, alpha=p.alpha.float())), "shapes"),
    ("cancellation in float32", _with(lambda p, t: evolve(p, sigma=(p.sigma + 1e4) - 1e4)), "precision"),
    ("scaled by its batch", _with(_of_the_batch), "batch"),
    ("edits its argument", spoilt(Circle(), at=_edited), "arguments"),
    ("copies are not equal", spoilt(Circle(), __eq__=object.__eq__), "identity"),
    ("cannot be pickled", _with(lambda p, t: p), "identity"),
]


@frozen(kw_only=True)
class SoundHeun:
    """What the mutants below spoil."""

    order: int = 2
    evaluations: int = 2

    def step(self, field: Field, x: Tensor, t: float, s: float, history: Any) -> tuple[Tensor, Any]:
        v = velocity(field.denoise(x, t), x, at_time(field.schedule, t))
        predicted = x + (s - t) * v
        if s == 0.0:
            return predicted, None
        return self.correct(field, x, v, predicted, t, s), None

    def correct(self, field: Field, x: Tensor, v: Tensor, predicted: Tensor, t: float, s: float) -> Tensor:
        end = velocity(field.denoise(predicted, s), predicted, at_time(field.schedule, s))
        return x + 0.5 * (s - t) * (v + end)


def _late(self: SoundHeun, field: Field, x: Tensor, v: Tensor, predicted: Tensor, t: float, s: float) -> Tensor:
    late = s + 0.2 * (t - s)
    return x + 0.5 * (s - t) * (v + velocity(field.denoise(predicted, late), predicted, at_time(field.schedule, late)))


def _one_more(self: SoundHeun, field: Field, x: Tensor, v: Tensor, predicted: Tensor, t: float, s: float) -> Tensor:
    field.denoise(predicted, s)
    return SoundHeun.correct(self, field, x, v, predicted, t, s)


def _beyond(self: SoundHeun, field: Field, x: Tensor, v: Tensor, predicted: Tensor, t: float, s: float) -> Tensor:
    field.denoise(predicted, s - 0.01)
    return predicted


def _in_place(self: SoundHeun, field: Field, x: Tensor, v: Tensor, predicted: Tensor, t: float, s: float) -> Tensor:
    return x.copy_(SoundHeun.correct(self, field, x, v, predicted, t, s))


def _shortened(self: SoundHeun, field: Field, x: Tensor, v: Tensor, predicted: Tensor, t: float, s: float) -> Tensor:
    return SoundHeun.correct(self, field, x, v, predicted, t, s) / (1 + 0.01 * v.abs().max())


def _of_routed(self: SoundHeun, field: Field, x: Tensor, v: Tensor, predicted: Tensor, t: float, s: float) -> Tensor:
    moved = SoundHeun.correct(self, field, x, v, predicted, t, s)
    return moved * 1.001 if hasattr(field, "router") else moved


def _euler(field: Field, x: Tensor, t: float, s: float) -> tuple[Tensor, Tensor]:
    v = velocity(field.denoise(x, t), x, at_time(field.schedule, t))
    return v, x + (s - t) * v


def _wrong_way(self: SoundHeun, field: Field, x: Tensor, t: float, s: float, history: Any) -> tuple[Tensor, Any]:
    return 2 * x - _euler(field, x, t, s)[1], None


def _back_in_time(self: SoundHeun, field: Field, x: Tensor, t: float, s: float, history: Any) -> tuple[Tensor, Any]:
    field.denoise(x, s)
    return _euler(field, x, t, s)[1], None


def _to_data(self: SoundHeun, field: Field, x: Tensor, t: float, s: float, history: Any) -> tuple[Tensor, Any]:
    return self.correct(field, x, *_euler(field, x, t, s), t, s), None


def _float32(self: SoundHeun, field: Field, x: Tensor, t: float, s: float, history: Any) -> tuple[Tensor, Any]:
    return SoundHeun.step(self, field, x, t, s, history)[0].float(), None


def _heun(**methods: Any) -> Any:
    return spoilt(SoundHeun(), **methods)


@define(kw_only=True, eq=False)
class KeepsItself:
    """Two-step Adams-Bashforth that remembers its last velocity in itself."""

    order: int = 1
    evaluations: int = 1
    last: Tensor | None = None

    def step(self, field: Field, x: Tensor, t: float, s: float, history: Any) -> tuple[Tensor, Any]:
        v = velocity(field.denoise(x, t), x, at_time(field.schedule, t))
        last = v if self.last is None or self.last.shape != v.shape else self.last
        self.last = v
        return x + (s - t) * (1.5 * v - 0.5 * last), None


INTEGRATORS: list[Mutant] = [
    ("nothing", SoundHeun(), ""),
    ("first-order Heun", _heun(correct=_late), "order"),
    ("declares too little", SoundHeun(order=1), "order"),
    ("goes the wrong way", _heun(step=_wrong_way), "order"),
    ("dishonest count", _heun(correct=_one_more), "evaluations"),
    ("says it is cheaper", SoundHeun(evaluations=1), "single"),
    ("no number", SoundHeun(evaluations=0), "declared"),
    ("back in time", _heun(step=_back_in_time), "times"),
    ("beyond the step", _heun(correct=_beyond), "times"),
    ("edits x", _heun(correct=_in_place), "arguments"),
    ("depends on the batch", _heun(correct=_shortened), "rows"),
    ("NaN at clean data", _heun(step=_to_data), "to_the_end"),
    ("memory in itself", KeepsItself(), "histories"),
    ("returns float32", _heun(step=_float32), "answers"),
    ("looks at its field", _heun(correct=_of_routed), "single"),
]


@each_mutant({"schedule": SCHEDULES, "integrator": INTEGRATORS})
def test_broken_components_are_named_and_sound_ones_pass(kind: Kind, component: object, check: str) -> None:
    require_complaint(kind, check, component)
