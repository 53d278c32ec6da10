"""The kit bites: broken schedules and integrators are caught, and told what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from attrs import define, evolve, frozen
from conformance import complaint, failures
from torch import Tensor

from mixvel_core.field.conversions import at_time, velocity
from mixvel_core.protocols import Field, NoiseSchedule, SchedulePoint
from mixvel_core.testing.problems import Circle


@frozen(kw_only=True)
class Changed:
    """A sound schedule whose points are changed after the fact."""

    change: Callable[[SchedulePoint, Tensor], SchedulePoint]

    def at(self, t: Tensor) -> SchedulePoint:
        return self.change(Circle().at(t), t)


@frozen(kw_only=True)
class Backwards:
    def at(self, t: Tensor) -> SchedulePoint:
        p = Circle().at(1.0 - t)
        return evolve(p, d_alpha=-p.d_alpha, d_sigma=-p.d_sigma)


@frozen(kw_only=True)
class EditsTimes:
    def at(self, t: Tensor) -> SchedulePoint:
        return Circle().at(t.mul_(1.0 - 1e-12).clamp_(0.0, 0.999))


@frozen(kw_only=True, eq=False)
class NoEquality:
    """Compared by identity, as plain classes are."""

    def at(self, t: Tensor) -> SchedulePoint:
        return Circle().at(t)


def _wavy(p: SchedulePoint, t: Tensor) -> SchedulePoint:
    return evolve(p, sigma=p.sigma * (1 + 0.2 * (30 * t).sin()))


def _of_the_batch(p: SchedulePoint, t: Tensor) -> SchedulePoint:
    return evolve(p, alpha=p.alpha / p.alpha.max())


SCHEDULES: list[tuple[str, NoiseSchedule, str, str]] = [
    (
        "sign of d_sigma",
        Changed(change=lambda p, t: evolve(p, d_sigma=-p.d_sigma)),
        "derivatives",
        r"d_sigma\(0\.05\) is -.*, but sigma changes there at a rate of",
    ),
    (
        "factor of dd_alpha",
        Changed(change=lambda p, t: evolve(p, dd_alpha=0.5 * p.dd_alpha)),
        "derivatives",
        r"dd_alpha\(.*d_alpha changes there",
    ),
    (
        "d_alpha wrong at the end alone",
        Changed(change=lambda p, t: evolve(p, d_alpha=torch.where(t == 1, 0.0, p.d_alpha))),
        "derivatives",
        r"d_alpha\(1\) is 0,",
    ),
    (
        "d_sigma wrong at the start alone",
        Changed(change=lambda p, t: evolve(p, d_sigma=torch.where(t == 0, 0.0, p.d_sigma))),
        "start_of_sigma",
        r"d_sigma\(0\) is 0, but sigma leaves t = 0 at a rate of 1\.57",
    ),
    ("time runs backwards", Backwards(), "ends", "t = 0 is data and t = 1 is noise"),
    (
        "alpha(0) is not 1",
        Changed(change=lambda p, t: evolve(p, alpha=0.9 * p.alpha, d_alpha=0.9 * p.d_alpha)),
        "ends",
        r"alpha\(0\) is 0\.9, not 1",
    ),
    (
        "NaN at t = 1",
        Changed(change=lambda p, t: evolve(p, d_alpha=p.alpha * (p.d_alpha / p.alpha))),
        "ends",
        "d_alpha at the ends: 1 of 2 values are NaN",
    ),
    ("SNR is not monotone", Changed(change=_wavy), "monotone", "alpha/sigma does not fall from t = 0"),
    (
        "always float32",
        Changed(change=lambda p, t: evolve(p, alpha=p.alpha.float())),
        "shapes",
        "alpha at t of torch.float64 .* is float32",
    ),
    (
        "a number instead of a tensor of ones",
        Changed(change=lambda p, t: evolve(p, dd_alpha=torch.zeros((), dtype=t.dtype))),
        "shapes",
        r"dd_alpha .* is float32 \(\) where float32 \(3,\) is promised.*full_like",
    ),
    (
        "cancellation in float32",
        Changed(change=lambda p, t: evolve(p, sigma=(p.sigma + 1e4) - 1e4)),
        "precision",
        "sigma in float32 is off by",
    ),
    (
        "scaled by its batch",
        Changed(change=_of_the_batch),
        "batch",
        r"alpha\(.*\) changes when it is asked for together",
    ),
    ("edits its argument", EditsTimes(), "arguments", "t was edited in place"),
    ("copies are not equal", NoEquality(), "identity", "a copy of the schedule is not equal to it"),
    ("cannot be pickled", Changed(change=lambda p, t: p), "identity", "cannot be pickled"),
]


@pytest.mark.parametrize(("schedule", "check", "message"), [m[1:] for m in SCHEDULES], ids=[m[0] for m in SCHEDULES])
def test_broken_schedules_are_named(schedule: NoiseSchedule, check: str, message: str) -> None:
    assert re.search(message, complaint("schedule", check, schedule))


def test_the_sound_schedule_that_they_spoil_passes() -> None:
    assert failures("schedule", Circle()) == {}


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


@frozen(kw_only=True)
class FirstOrderHeun(SoundHeun):
    """Its second stage is at the right point and at the wrong time."""

    def correct(self, field: Field, x: Tensor, v: Tensor, predicted: Tensor, t: float, s: float) -> Tensor:
        late = s + 0.2 * (t - s)
        end = velocity(field.denoise(predicted, late), predicted, at_time(field.schedule, late))
        return x + 0.5 * (s - t) * (v + end)


@frozen(kw_only=True)
class WrongWay(SoundHeun):
    def step(self, field: Field, x: Tensor, t: float, s: float, history: Any) -> tuple[Tensor, Any]:
        v = velocity(field.denoise(x, t), x, at_time(field.schedule, t))
        return x + (t - s) * v, None


@frozen(kw_only=True)
class Dishonest(SoundHeun):
    """Asks once more than it says."""

    def correct(self, field: Field, x: Tensor, v: Tensor, predicted: Tensor, t: float, s: float) -> Tensor:
        field.denoise(predicted, s)
        return super().correct(field, x, v, predicted, t, s)


@frozen(kw_only=True)
class BackInTime(SoundHeun):
    """Asks at the end of the step first."""

    def step(self, field: Field, x: Tensor, t: float, s: float, history: Any) -> tuple[Tensor, Any]:
        field.denoise(x, s)
        v = velocity(field.denoise(x, t), x, at_time(field.schedule, t))
        return x + (s - t) * v, None


@frozen(kw_only=True)
class Beyond(SoundHeun):
    def correct(self, field: Field, x: Tensor, v: Tensor, predicted: Tensor, t: float, s: float) -> Tensor:
        field.denoise(predicted, s - 0.01)
        return predicted


@frozen(kw_only=True)
class InPlace(SoundHeun):
    def correct(self, field: Field, x: Tensor, v: Tensor, predicted: Tensor, t: float, s: float) -> Tensor:
        end = velocity(field.denoise(predicted, s), predicted, at_time(field.schedule, s))
        return x.add_(0.5 * (s - t) * (v + end))


@frozen(kw_only=True)
class OfTheBatch(SoundHeun):
    """Shortens the velocities of a batch together."""

    def correct(self, field: Field, x: Tensor, v: Tensor, predicted: Tensor, t: float, s: float) -> Tensor:
        return super().correct(field, x, v, predicted, t, s) / (1 + 0.01 * v.abs().max())


@frozen(kw_only=True)
class NaNAtData(SoundHeun):
    def step(self, field: Field, x: Tensor, t: float, s: float, history: Any) -> tuple[Tensor, Any]:
        v = velocity(field.denoise(x, t), x, at_time(field.schedule, t))
        return self.correct(field, x, v, x + (s - t) * v, t, s), None


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


@frozen(kw_only=True)
class Single(SoundHeun):
    def step(self, field: Field, x: Tensor, t: float, s: float, history: Any) -> tuple[Tensor, Any]:
        moved, _ = super().step(field, x, t, s, history)
        return moved.float(), None


@frozen(kw_only=True)
class KnowsItsField(SoundHeun):
    """Treats a routed field in a way of its own."""

    def correct(self, field: Field, x: Tensor, v: Tensor, predicted: Tensor, t: float, s: float) -> Tensor:
        moved = super().correct(field, x, v, predicted, t, s)
        return moved * 1.001 if hasattr(field, "router") else moved


INTEGRATORS: list[tuple[str, object, str, str]] = [
    ("first-order Heun", FirstOrderHeun(), "order", r"measured order (1\.|0\.9)\S* declared 2"),
    ("declares too much", SoundHeun(order=3), "order", r"measured order [12]\.\d+, declared 3"),
    ("declares too little", SoundHeun(order=1), "order", r"measured order [12]\.\d+, only 1 declared"),
    ("goes the wrong way", WrongWay(), "order", "40 steps end .* away from where the flow ends; check the sign"),
    ("dishonest count", Dishonest(), "evaluations", "from t = 1 to 0.8 made 3 evaluations of the field, 2 declared"),
    ("says it is cheaper", SoundHeun(evaluations=1), "single", "5 steps cost 10 evaluations a sample, 5 declared"),
    ("no number", SoundHeun(evaluations=0), "declared", "evaluations is 0"),
    ("back in time", BackInTime(), "times", "went back in time: 0.8, 1"),
    ("beyond the step", Beyond(), "times", r"asked the field at 1, 0.79; stay between t and s"),
    ("edits x", InPlace(), "arguments", "x was edited in place"),
    ("depends on the batch", OfTheBatch(), "rows", "x of a point depends on the other points of its batch"),
    ("NaN at clean data", NaNAtData(), "to_the_end", "x at s = 0: .* NaN or infinite"),
    ("memory in itself", KeepsItself(), "histories", "another trajectory of the same integrator"),
    ("returns float32", Single(), "answers", r"float32 \(6, 2\) where float64 \(6, 2\) is promised"),
    ("looks at its field", KnowsItsField(), "single", "through a mixture of one expert the end moves"),
]


@pytest.mark.parametrize(
    ("integrator", "check", "message"), [m[1:] for m in INTEGRATORS], ids=[m[0] for m in INTEGRATORS]
)
def test_broken_integrators_are_named(integrator: object, check: str, message: str) -> None:
    assert re.search(message, complaint("integrator", check, integrator))


def test_the_sound_integrator_that_they_spoil_passes() -> None:
    assert failures("integrator", SoundHeun()) == {}
