"""Checks of what the protocol requires of a NoiseSchedule."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
from attrs import fields
from torch import Tensor

from mixvel_core.protocols import NoiseSchedule, SchedulePoint
from mixvel_core.testing.check import gap, pickled, require, require_finite, require_like, untouched

_FIELDS = tuple(field.name for field in fields(SchedulePoint))
_H = 1e-4
_DERIVATIVES = (("alpha", "d_alpha"), ("sigma", "d_sigma"), ("d_alpha", "dd_alpha"))


def shapes(schedule: NoiseSchedule) -> None:
    """Every field of a point has the shape, dtype and device of t."""
    for dtype in (torch.float32, torch.float64):
        for shape in ((), (3,), (2, 1, 2)):
            t = torch.full(shape, 0.4, dtype=dtype)
            point = schedule.at(t)
            for name in _FIELDS:
                fix = "make constants with torch.full_like(t, ...), and let nothing change the type of t"
                require_like(f"{name} at t of {dtype} {shape}", getattr(point, name), t, fix)


def arguments(schedule: NoiseSchedule) -> None:
    """The times it is given are left alone."""
    t = torch.linspace(0.0, 1.0, 5, dtype=torch.float64)
    with untouched(t=t):
        schedule.at(t)


def ends(schedule: NoiseSchedule) -> None:
    """t = 0 is data and t = 1 is noise: alpha(0) = 1, SNR(0) > SNR(1), all finite but d_sigma at 0."""
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    point = schedule.at(t)
    alpha, sigma = point.alpha, point.sigma
    require(
        bool(alpha[0] * sigma[1] > alpha[1] * sigma[0]),
        f"alpha/sigma is larger at t = 1 than at t = 0 (alpha {float(alpha[0]):.3g} -> {float(alpha[1]):.3g}, "
        f"sigma {float(sigma[0]):.3g} -> {float(sigma[1]):.3g}): time runs backwards",
        "t = 0 is data and t = 1 is noise here; replace t by 1 - t, and turn the signs of d_alpha and d_sigma",
    )
    fix = "divide alpha and sigma by alpha(0), so that clean data come out as they are"
    require(abs(float(alpha[0]) - 1.0) < 1e-6, f"alpha(0) is {float(alpha[0]):.6g}, not 1", fix)
    for name in _FIELDS:
        values = getattr(point, name)[1:] if name == "d_sigma" else getattr(point, name)
        require_finite(
            f"{name} at the ends", values, "rewrite the closed form so that nothing is divided by zero there"
        )


def monotone(schedule: NoiseSchedule) -> None:
    """alpha/sigma falls strictly, alpha never rises, and neither is negative."""
    t = torch.linspace(0.0, 1.0, 501, dtype=torch.float64)
    point = schedule.at(t)
    alpha, sigma = point.alpha, point.sigma
    for name, value, inner in (("alpha", alpha, alpha[:-1]), ("sigma", sigma, sigma[1:])):
        require(
            bool((value >= 0).all() and (inner > 0).all()),
            f"{name} is not positive inside (0, 1): its least value is {float(inner.min()):.3g}",
            "alpha may be zero at t = 1 only and sigma at t = 0 only; check signs and powers",
        )
    rising = (alpha[1:] * sigma[:-1] >= alpha[:-1] * sigma[1:]).nonzero()
    require(
        len(rising) == 0,
        f"alpha/sigma does not fall from t = {float(t[rising[0, 0]]) if len(rising) else 0:.3f} on",
        "signal over noise must fall strictly with t; choose another formula or another range of its parameters",
    )
    risen = (alpha[1:] > alpha[:-1] + 1e-12).nonzero()
    fix = "alpha must fall from 1 at t = 0; check its sign"
    require(len(risen) == 0, f"alpha rises at t = {float(t[risen[0, 0]]) if len(risen) else 0:.3f}", fix)


def derivatives(schedule: NoiseSchedule) -> None:
    """d_alpha, d_sigma and dd_alpha are the derivatives, ends included, in float64."""
    inner = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    for name, derivative in _DERIVATIVES:
        places = torch.cat([inner, inner.new_tensor([1.0] if name == "sigma" else [0.0, 1.0])])
        given = getattr(schedule.at(places), derivative)
        value = partial(_field, schedule, name)
        differences, slopes = _differences(value, places), _autograd(value, places)
        scale = 1.0 + differences.abs()
        # Differences cannot follow every function, a graph may be cut: a derivative is right if one of them says so.
        wrong = ((given - differences).abs() > 1e-5 * scale) & ~((given - slopes).abs() <= 1e-7 * scale)
        if bool(wrong.any()):
            i = int(wrong.nonzero()[0, 0])
            require(
                False,
                f"{derivative}({float(places[i]):.3g}) is {float(given[i]):.6g}, but {name} changes there at a rate of "
                f"{float(differences[i]):.6g}",
                f"differentiate {name} once more: signs, inner derivatives and factors of 2 are what is usually lost",
            )


def start_of_sigma(schedule: NoiseSchedule) -> None:
    """d_sigma at t = 0 is the slope of sigma there, or infinite where sigma is a root."""
    t = torch.tensor([0.0, 1e-8, 1e-6], dtype=torch.float64)
    point = schedule.at(t)
    given, rates = float(point.d_sigma[0]), (point.sigma[1:] - point.sigma[0]) / t[1:]
    rate = float(rates[0])
    # A root's mean rate grows without end as the interval shrinks; ten times for a hundredth of it.
    fine = rate > 5 * float(rates[1]) if given == float("inf") else abs(given - rate) < 1e-4 * (1.0 + abs(rate))
    fix = "give the limit of d_sigma: infinity where sigma starts as a root of t, the slope elsewhere, never NaN"
    require(fine, f"d_sigma(0) is {given:.6g}, but sigma leaves t = 0 at a rate of {rate:.6g}", fix)


def precision(schedule: NoiseSchedule) -> None:
    """float32 times give the float64 answer up to rounding."""
    t = torch.linspace(0.02, 1.0, 50)
    single, double = schedule.at(t), schedule.at(t.double())
    for name in _FIELDS:
        wanted = getattr(double, name)
        apart = gap(getattr(single, name), wanted)
        fix = "avoid differences of nearly equal numbers: torch.expm1 and torch.log1p keep their digits"
        require(apart < 1e-4, f"{name} in float32 is off by {apart:.2g} of its largest value", fix)


def batch(schedule: NoiseSchedule) -> None:
    """The answer at a time does not depend on the other times asked for."""
    t = torch.tensor([0.9, 0.1, 0.5], dtype=torch.float64)
    together = schedule.at(t)
    for i, one in enumerate(t):
        alone = schedule.at(one)
        for name in _FIELDS:
            require(
                gap(getattr(alone, name), getattr(together, name)[i]) < 1e-12,
                f"{name}({float(one):g}) changes when it is asked for together with other times",
                "treat every entry of t for itself: nothing sorted, summed or scaled over t",
            )


def identity(schedule: NoiseSchedule) -> None:
    """A copy equals the original, and it can be pickled."""
    fix = "make it a frozen attrs class of plain numbers and tuples: samplers compare schedules, workers receive them"
    require(copy.deepcopy(schedule) == schedule, "a copy of the schedule is not equal to it", fix)
    same = pickled("the schedule", schedule, fix) == schedule
    require(same, "the schedule is not equal to itself after pickling", fix)


def _field(schedule: NoiseSchedule, name: str, t: Tensor) -> Tensor:
    found: Tensor = getattr(schedule.at(t), name)
    return found


def _differences(f: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """f' at t by differences of five points: centred inside, one-sided at the ends."""
    ends = (t < 2 * _H) | (t > 1 - 2 * _H)
    sign = torch.where(ends & (t >= 0.5), -1.0, 1.0).to(t)
    centred, forward = t.new_tensor([-2, -1, 0, 1, 2]), t.new_tensor([0, 1, 2, 3, 4])
    weights = t.new_tensor([1, -8, 0, 8, -1]) / 12, t.new_tensor([-25, 48, -36, 16, -3]) / 12
    steps = torch.where(ends[:, None], forward, centred)
    found = f(t[:, None] + sign[:, None] * _H * steps) * torch.where(ends[:, None], weights[1], weights[0])
    return sign * found.sum(1) / _H


def _autograd(f: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """f' at t by autograd; NaN where f has no graph."""
    t = t.clone().requires_grad_(True)
    with torch.enable_grad():
        value = f(t)
    if not value.requires_grad:
        return torch.full_like(t, float("nan")).detach()
    (slope,) = torch.autograd.grad(value.sum(), t)
    return slope.detach()


CHECKS = (shapes, arguments, ends, monotone, derivatives, start_of_sigma, precision, batch, identity)
