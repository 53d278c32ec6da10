"""Checks of what the protocol requires of an Integrator, measured on a smooth flow with a known end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import attrs
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time, velocity
from mixvel_core.field.mixture import gaussian_denoiser
from mixvel_core.protocols import Draws, Evaluations, Field, Integrator, NoiseSchedule, Prior
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.inputs import is_random
from mixvel_core.sampling.routed_field import SingleExpertRouter, start_field
from mixvel_core.testing.check import require, require_finite, require_like, require_near, same_rows, untouched
from mixvel_core.testing.problems import Circle

START, END = 0.9, 0.15
"""Where orders are measured: away from t = 1, where log alpha/sigma may be infinite, and from the data, where the flow
is stiff."""


@frozen(kw_only=True)
class TwoGaussians:
    """The denoiser of two Gaussians in the plane (D3), in the type of x: curved in x and in t.

    ``index``: the numbers of the points whose noise is asked for; as they stand if None.
    """

    schedule: NoiseSchedule = attrs.field(factory=Circle)
    index: Tensor | None = None

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """m(x, t), (B, 2)."""
        p = at_time(self.schedule, t)
        means = torch.tensor([[0.8, -0.3], [-0.5, 0.6]], dtype=torch.float64)
        variances = torch.tensor([[0.3, 0.2], [0.15, 0.4]], dtype=torch.float64)
        points, total = x.double()[:, None], p.alpha**2 * variances + p.sigma**2
        weight = (-0.5 * ((points - p.alpha * means) ** 2 / total + total.log()).sum(-1)).softmax(1)
        m = gaussian_denoiser(points, p, means, variances)
        return torch.einsum("bj,bjd->bd", weight, m).to(x.dtype)

    def noise(self, x: Tensor, counter: int) -> Tensor:
        """Standard normal numbers like x, of these points."""
        return SampleDraws(seed=0, index=torch.arange(len(x)) if self.index is None else self.index).normal(x, counter)

    def start(self, count: int = 6, dtype: torch.dtype = torch.float64) -> Tensor:
        """Points of much noise, spread evenly around the origin, (count, 2)."""
        angle = torch.linspace(0.2, 5.8, count, dtype=torch.float64)
        radius = torch.linspace(0.4, 1.6, count, dtype=torch.float64)
        return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1).to(dtype)

    def exact(self, x: Tensor, steps: int = 400) -> Tensor:
        """Where the flow takes x from ``START`` to ``END``: the classical Runge-Kutta method, to eleven digits."""
        for t, s in pairwise(grid(steps)):
            h, half = s - t, 0.5 * (t + s)
            k1 = self._velocity(x, t)
            k2 = self._velocity(x + 0.5 * h * k1, half)
            k3 = self._velocity(x + 0.5 * h * k2, half)
            k4 = self._velocity(x + h * k3, s)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return x

    def _velocity(self, x: Tensor, t: float) -> Tensor:
        return velocity(self.denoise(x, t), x, at_time(self.schedule, t))


@frozen(kw_only=True)
class Watched(TwoGaussians):
    """The same flow; ``times``: when it was asked."""

    times: list[float] = attrs.field(factory=list)

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """m(x, t), (B, 2), noting the time of the call."""
        self.times.append(t)
        return super().denoise(x, t)


def grid(steps: int) -> list[float]:
    """Even times from ``START`` to ``END``."""
    return [START + (END - START) * n / steps for n in range(steps + 1)]


def steps(
    integrator: Integrator, flow: Field, x: Tensor, times: Sequence[float]
) -> Iterator[tuple[float, float, Tensor, Tensor]]:
    """Each step of the integrator along ``times``: t, s, x at t and x at s."""
    history: Any = None
    for t, s in pairwise(times):
        found, history = integrator.step(flow, x, t, s, history)
        yield t, s, x, found
        x = found


def follow(integrator: Integrator, flow: Field, x: Tensor, times: Sequence[float]) -> Tensor:
    """Where the integrator takes x along ``times``."""
    *_, (_, _, _, end) = steps(integrator, flow, x, times)
    return end


def declared(integrator: Integrator) -> None:
    """order and evaluations are whole numbers, at least 1."""
    for name, value in (("order", integrator.order), ("evaluations", integrator.evaluations)):
        sound = isinstance(value, int) and value >= 1
        require(sound, f"{name} is {value!r}", "declare it as a whole number of at least 1")


def answers(integrator: Integrator) -> None:
    """A step gives points of the shape, dtype and device of x."""
    flow = TwoGaussians()
    for dtype in (torch.float32, torch.float64):
        for _, s, x, found in steps(integrator, flow, flow.start(dtype=dtype), (1.0, 0.8, 0.5)):
            fix = "schedules at a time (`at_time`) multiply any type; do not move x to another one"
            require_like(f"x at s = {s:g}", found, x, fix)


def arguments(integrator: Integrator) -> None:
    """x is left alone, also what the field was asked with."""
    flow = TwoGaussians()
    x, history = flow.start(), None
    for t, s in pairwise((1.0, 0.8, 0.5)):
        with untouched(x=x):
            following, history = integrator.step(flow, x, t, s, history)
        x = following


def evaluations(integrator: Integrator) -> None:
    """A step costs exactly the declared evaluations (at most as many where it ends at clean data)."""
    watched = Watched()
    for t, s, _, _ in steps(integrator, watched, watched.start(), (1.0, 0.8, 0.5, 0.2, 0.0)):
        made = len(watched.times)
        watched.times.clear()
        fine = made == integrator.evaluations or (s == 0.0 and 1 <= made < integrator.evaluations)
        require(
            fine,
            f"the step from t = {t:g} to {s:g} made {made} evaluations of the field, {integrator.evaluations} declared",
            f"declare evaluations = {made}, or keep an answer instead of asking again",
        )


def times(integrator: Integrator) -> None:
    """The field is asked at times between t and s that never increase: routers may carry a state along them."""
    watched = Watched()
    for t, s, _, _ in steps(integrator, watched, watched.start(), (1.0, 0.8, 0.5, 0.2)):
        asked = watched.times.copy()
        watched.times.clear()
        require(
            all(s - 1e-12 <= time <= t + 1e-12 for time in asked),
            f"the step from t = {t:g} to {s:g} asked the field at {', '.join(f'{time:g}' for time in asked)}",
            "stay between t and s; time runs from 1 down to 0, so s < t and s - t is negative",
        )
        require(
            all(a >= b for a, b in pairwise(asked)),
            f"the step from t = {t:g} to {s:g} went back in time: {', '.join(f'{time:g}' for time in asked)}",
            "order the stages from t to s: a router cannot follow one that goes back",
        )


def order(integrator: Integrator) -> None:
    """The global error falls with the declared power of the step; of an SDE there is no such error."""
    if is_random(integrator):
        return
    flow = TwoGaussians()
    x = flow.start()
    exact = flow.exact(x)
    counts = (40, 80, 160)
    errors = [float((follow(integrator, flow, x, grid(n)) - exact).norm(dim=1).max()) for n in counts]
    listed = ", ".join(f"{error:.2g} with {n}" for error, n in zip(errors, counts, strict=True))
    fix = "check the sign of s - t, and that the velocity (V1) is taken at the time of its point"
    require(errors[0] < 0.5, f"40 steps end {errors[0]:.2g} away from where the flow ends", fix)
    if errors[-1] < 1e-11:
        return  # exact up to rounding: no order can be seen, and none is missing
    measured = math.log2(errors[1] / errors[2])
    require(
        measured > integrator.order - 0.25,
        f"measured order {measured:.2f}, declared {integrator.order} (errors {listed} steps)",
        "a stage at the wrong time or point costs an order; otherwise declare the order that it has",
    )
    require(
        measured < integrator.order + 0.5,
        f"measured order {measured:.2f}, only {integrator.order} declared (errors {listed} steps)",
        "declare the order that it has",
    )


@frozen(kw_only=True)
class OneGaussian(TwoGaussians):
    """The denoiser of a Gaussian in the plane, ``mean`` and ``variance`` the same in both coordinates."""

    mean: float = 0.7
    variance: float = 0.3

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """m(x, t), (B, 2)."""
        p = at_time(self.schedule, t)
        return gaussian_denoiser(x, p, x.new_full((2,), self.mean), x.new_full((2,), self.variance))

    def moments(self, t: float) -> tuple[float, float]:
        """Mean and standard deviation of each coordinate of x_t."""
        p = at_time(self.schedule, t)
        return float(p.alpha) * self.mean, math.sqrt(float(p.alpha**2 * self.variance + p.sigma**2))


def law(integrator: Integrator) -> None:
    """Where an SDE is followed, samples of a Gaussian keep its law: mean and variance of x_s."""
    if not is_random(integrator):
        return
    flow, count = OneGaussian(), 4096
    z = SampleDraws(seed=1, index=torch.arange(count)).normal(torch.zeros(count, 2, dtype=torch.float64), 0)
    mean, deviation = flow.moments(START)
    x = follow(integrator, flow, mean + deviation * z, grid(100))
    mean, deviation = flow.moments(END)
    for name, value, wanted in (("mean", float(x.mean()), mean), ("standard deviation", float(x.std()), deviation)):
        require(
            abs(value - wanted) < 0.03 * deviation,
            f"the {name} after 100 steps is {value:.3g}, that of the law {wanted:.3g}",
            "the noise that is kept and the noise made anew must have the variance sigma_s^2 together",
        )


def to_the_end(integrator: Integrator) -> None:
    """A last step may end at t = 0, clean data."""
    flow = TwoGaussians()
    x = follow(integrator, flow, flow.start(), [1.0, 0.6, 0.2, 0.0])
    require_finite("x at s = 0", x, "sigma(0) = 0: do not ask for the velocity there, and divide by sigma_t instead")


def rows(integrator: Integrator) -> None:
    """Points move independently of each other."""
    x = TwoGaussians().start()
    same_rows("x", lambda i: follow(integrator, TwoGaussians(index=i), x[i], grid(6)), len(x))


def histories(integrator: Integrator) -> None:
    """Two trajectories of one integrator do not meet: all that is carried along is in the history."""
    flow = TwoGaussians()
    x, times = flow.start(), grid(6)
    alone = follow(integrator, flow, x, times)
    both = zip(steps(integrator, flow, x, times), steps(integrator, flow, -0.7 * x, times), strict=True)
    *_, ((_, _, _, end), _) = both
    fix = "return what the next step needs as its history; keep nothing in the integrator"
    require_near(end, alone, "another trajectory of the same integrator moves the end by", fix)


def single(integrator: Integrator) -> None:
    """Through a mixture of one expert the step is that of the expert alone, bit for bit, at the declared cost."""
    flow = TwoGaussians()
    x, times = flow.start(), grid(5)
    routed = start_field(
        schedule=flow.schedule,
        experts=[_AsExpert(flow=flow)],
        router=SingleExpertRouter(),
        selector=_Everyone(),
        x=x,
        t=START,
        draws=SampleDraws(seed=0, index=torch.arange(len(x))),
    )
    ended, plain = follow(integrator, routed, x, times), follow(integrator, flow, x, times)
    fix = "ask a field for `denoise` and `schedule` only, and let nothing depend on what kind of field it is"
    require_near(ended, plain, "through a mixture of one expert the end moves by", fix, within=0.0)
    paid = int(routed.evaluations.max())
    require(
        paid == 5 * integrator.evaluations,
        f"5 steps cost {paid} evaluations a sample, {5 * integrator.evaluations} declared",
        "let a step make exactly the evaluations it declares",
    )


@frozen(kw_only=True)
class _AsExpert:
    flow: TwoGaussians
    moments: None = None

    @property
    def schedule(self) -> NoiseSchedule:
        return self.flow.schedule

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        return self.flow.denoise(x, float(t[0]))


@frozen(kw_only=True)
class _Everyone:
    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> None: ...

    def select(self, x: Tensor, t: float, a: Tensor, state: None) -> tuple[Tensor, None]:
        return torch.ones_like(a, dtype=torch.bool), None

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: None) -> tuple[Tensor, None]:
        return answers.m, None


CHECKS = (declared, answers, arguments, evaluations, times, order, law, to_the_end, rows, histories, single)
