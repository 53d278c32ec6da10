"""Checks of what the protocol requires of an ExpertFamily and the experts it makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mixvel_core.errors import ConformanceError
from mixvel_core.field.conversions import point_for, score
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import ConditionalExpert, DensityExpert, Expert, ExpertFamily
from mixvel_core.randomness import normal
from mixvel_core.testing import conditions, schedules
from mixvel_core.testing.check import require, require_finite, require_like, require_near, same_rows, untouched
from mixvel_core.testing.families import (
    Made,
    check_same_answers,
    check_task,
    made_experts,
    make_expert,
    with_classes,
)


def _asked(
    family: ExpertFamily, times: Sequence[float] = (1.0, 0.9, 0.5, 0.1, 0.01), dtype: torch.dtype = torch.float32
) -> Iterator[tuple[Made[Expert], Tensor, Tensor]]:
    """Every expert that the family makes, with noisy points x and their ``times`` t."""
    t = torch.tensor(times, dtype=dtype)
    for made in made_experts(family):
        yield made, made.problem.noisy(t), t.clone()


def training(family: ExpertFamily) -> None:
    """What is trained can be sent to a worker, starts from its seed and has a loss."""
    for made in made_experts(family):
        shard = made.problem.shards[0]
        task = family.task(shard, made.problem.schedule)
        if task is None:
            continue
        check_task("the task", task)
        require(
            len(task.items) == shard.count and bool((task.items[:] == shard.items[:]).all()),
            f"the task trains on {len(task.items)} items, its shard has {shard.count}, and they are not the same",
            "train an expert on its own shard, as it is, and on nothing else",
        )


def answers(family: ExpertFamily) -> None:
    """denoise gives a tensor of the shape, dtype and device of x."""
    for made, _, times in _asked(family):
        for t in (times, times.double()):
            x, fix = made.problem.noisy(t), "compute in any type you like, and return m.to(x.dtype), reshaped like x"
            require_like(f"m for {made.problem.name}", made.component.denoise(x, t), x, fix)


def schedule(family: ExpertFamily) -> None:
    """The expert reads time by the schedule it was loaded with, or by a sound one of its own."""
    for made in made_experts(family):
        own = made.component.schedule
        if own == made.problem.schedule:
            continue
        for check in (schedules.shapes, schedules.ends, schedules.monotone):
            try:
                check(own)
            except ConformanceError as error:
                raise ConformanceError(
                    f"the expert's schedule is not the one it was loaded with, and {error.what}",
                    f"keep the schedule that `load` is given; if it is the expert's own: {error.fix}",
                ) from None


def arguments(family: ExpertFamily) -> None:
    """x and t are left alone."""
    for made, x, t in _asked(family):
        with untouched(x=x, t=t):
            made.component.denoise(x, t)


def rows(family: ExpertFamily) -> None:
    """Points of a batch are answered independently of each other, in any order."""
    for made, x, t in _asked(family):
        same_rows("m", lambda i, made=made, x=x, t=t: made.component.denoise(x[i], t[i]), len(x))  # type: ignore[misc]  # mypy infers no lambda with defaults


def ends(family: ExpertFamily) -> None:
    """Answers are finite everywhere from t = 1 to t = 0."""
    for made in made_experts(family):
        for time in (1.0, 0.999, 0.5, 1e-3, 0.0):
            t = torch.full((4,), time)
            x, what = made.problem.noisy(t), f"m at t = {time:g} for {made.problem.name}"
            require_finite(what, made.component.denoise(x, t), "take the limit where alpha or sigma is zero")


def known_limits(family: ExpertFamily) -> None:
    """An expert with a density answers x at t = 0, and its shard's mean where alpha = 0."""
    for made in made_experts(family):
        if not isinstance(made.component, DensityExpert):
            continue
        x = torch.tensor(to_float(made.problem.shards[0].items[:4])).double()
        require_near(
            made.component.denoise(x, x.new_zeros(4)),
            x,
            "at t = 0 the denoiser of clean data is off by",
            "without noise nothing is left to remove: m(x, 0) = x; is t read the right way round?",
            within=1e-2,
        )
        if made.component.moments is not None:
            noise = normal(17, torch.arange(4), made.problem.shape, torch.float32).double()
            require_near(
                made.component.denoise(noise, noise.new_ones(4)),
                made.component.moments.mean.to(noise).expand_as(noise),
                "at t = 1, where alpha = 0, the denoiser is off the shard's mean by",
                "where there is only noise m is the mean; is t read the right way round?",
                within=1e-4,
            )


def density(family: ExpertFamily) -> None:
    """A density belongs to its denoiser: its gradient is the score (V3), and rows are right."""
    for made, x, t in _asked(family, (0.9, 0.6, 0.3), torch.float64):
        expert = made.component
        if not isinstance(expert, DensityExpert) or len(made.problem.shape) != 1:
            continue
        found = expert.log_density(x, t)
        require_like("log_density", found, t, "return a number for each point, (B,), in the dtype of x")
        h = 1e-4
        units = h * torch.eye(x.shape[1], dtype=x.dtype)
        gradient = torch.stack(
            [(expert.log_density(x + u, t) - expert.log_density(x - u, t)) / (2 * h) for u in units], dim=1
        )
        wanted = score(expert.denoise(x, t), x, point_for(expert.schedule, t, x))
        require_near(
            gradient,
            wanted,
            "the gradient of log_density is off the score of the denoiser by",
            "log_density and denoise must speak of the same law at the same time: (alpha m - x)/sigma^2 is the score",
            within=1e-4,
        )


def moments(family: ExpertFamily) -> None:
    """Moments, where shared, have the items' shape, are not negative, and fit the shard."""
    for made in made_experts(family):
        shared = made.component.moments
        if shared is None:
            continue
        items = torch.tensor(to_float(made.problem.shards[0].items[:])).double()
        fix = "share mean and variance of each coordinate over the shard's items, in the scale that `to_float` gives"
        for name, value in (("mean", shared.mean), ("variance", shared.variance)):
            require(
                value.shape == items.shape[1:] and value.is_floating_point(),
                f"the {name} is {value.dtype} {tuple(value.shape)}, an item {tuple(items.shape[1:])}",
                fix,
            )
            require_finite(f"the {name}", value, fix)
        least = float(shared.variance.min())
        require(least >= 0, f"a variance is negative: {least:.3g}", fix)
        spread = items.var(0).sqrt() + 1e-3
        off = float(((shared.mean.double() - items.mean(0)).abs() / spread).max())
        require(off < 2.0, f"the mean is {off:.2g} standard deviations off that of the shard's items", fix)
        widest = float((shared.variance.double().sqrt() / (spread + 0.1)).max())
        require(widest < 3.0, f"a standard deviation is {widest:.2g} times that of the shard's items", fix)


def repeatable(family: ExpertFamily) -> None:
    """The same question gets the same answer."""
    for made, x, t in _asked(family):
        first, second = made.component.denoise(x, t), made.component.denoise(x, t)
        fix = "put networks in eval mode, draw nothing at random, and keep nothing between calls"
        require_near(second, first, "the second answer to one question differs from the first by", fix)


def round_trip(family: ExpertFamily) -> None:
    """An expert loaded from its stored tensors answers as before."""
    for made, x, t in _asked(family):
        check_same_answers("an expert", made.component.denoise(x, t), made.load().denoise(x, t))


def null_condition(family: ExpertFamily) -> None:
    """An expert that reads conditions is without one that of its null condition."""
    if reader := _reader(family):
        conditions.check_null(reader)


def condition_rows(family: ExpertFamily) -> None:
    """Row i of the denoiser depends on row i of the condition alone."""
    if reader := _reader(family):
        conditions.check_rows(reader)


def condition(family: ExpertFamily) -> None:
    """Under conditions denoisers are finite, and differ; `given` changes nothing, nor do unread names."""
    if reader := _reader(family):
        for shift in range(3):
            m = reader.all(reader.part.given(reader.condition(shift)))
            require_finite("m under a condition", m, "a class without items is a condition too, and so is the null one")
        conditions.check_read(reader)


def _reader(family: ExpertFamily) -> conditions.Reader[ConditionalExpert] | None:
    """The family's expert of items with classes, with its denoisers; None where it reads none."""
    made = with_classes(lambda problem: make_expert(family, problem))
    if made is None or not isinstance(made.component, ConditionalExpert) or made.component.null is None:
        return None
    t = torch.tensor([0.9, 0.6, 0.35, 0.1, 0.01])
    x, expert = made.problem.noisy(t), made.component
    return conditions.Reader(
        what="m", part=expert, null=made.component.null, answer=lambda one, i: one.denoise(x[i], t[i]), count=len(t)
    )


CHECKS = (
    training,
    answers,
    schedule,
    arguments,
    rows,
    ends,
    known_limits,
    density,
    moments,
    repeatable,
    round_trip,
    null_condition,
    condition_rows,
    condition,
)
