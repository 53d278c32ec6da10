"""Checks of what the protocol requires of a RouterFamily and the routers it makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mixvel_core.errors import MixvelError
from mixvel_core.field.conversions import at_time
from mixvel_core.field.mixture import gaussian_denoiser, item_moments
from mixvel_core.protocols import ConditionalRouter, Evaluations, ObservingRouter, Router, RouterFamily
from mixvel_core.testing import conditions
from mixvel_core.testing.check import looks, near, require, require_finite, require_near, same_rows, untouched
from mixvel_core.testing.families import Made, check_same_answers, check_task, made_routers, make_router, with_classes
from mixvel_core.testing.problems import PI

_TIMES = (1.0, 0.85, 0.6, 0.35, 0.1, 0.01, 0.0)
_B = 4


def training(family: RouterFamily) -> None:
    """What is trained can be sent to a worker, starts from its seed and has a loss."""
    for made in made_routers(family):
        for name, task in family.tasks(made.problem.shards, made.problem.schedule).items():
            check_task(f"task {name}", task)


def simplex(family: RouterFamily) -> None:
    """Weights are (B, K), not negative, of sum 1 and finite, all the way from t = 1 to t = 0."""
    for made in made_routers(family):
        _require_simplex(_along(made), len(made.problem.shards))
        try:
            single = list(_along(make_router(family, made.problem.first())))
        except MixvelError:
            continue  # a router that was trained elsewhere is of its own number of experts
        _require_simplex(single, 1)


def state(family: RouterFamily) -> None:
    """A second call at the same t replaces the first: asked again and again, the answer settles at once."""
    for made in made_routers(family):
        x = _points(made)
        carried: Any = made.component.start(x[0], _times(1.0))
        for time, points in zip(_TIMES, x, strict=True):
            t = _times(time)
            _, carried = made.component.weights(points, t, carried)
            second, carried = made.component.weights(points, t, carried)
            third, carried = made.component.weights(points, t, carried)
            require_near(
                third,
                second,
                f"a call at the same x and t = {time:g} does not replace the one before: the weights went on by",
                "keep in the state the time it belongs to, and where the step began; at the same t start from there",
            )


def trajectories(family: RouterFamily) -> None:
    """Two trajectories of one router do not meet: all that is carried along is in the state."""
    for made in made_routers(family):
        alone = list(_along(made))
        both = zip(_along(made), _along(made, x=_points(made).flip(1) * 0.5), strict=True)
        for time, wanted, (a, _) in zip(_TIMES, alone, both, strict=True):
            require_near(
                a,
                wanted,
                f"at t = {time:g} another trajectory of the same router changes the weights by",
                "keep what belongs to a trajectory in the state that is passed along, not in the router",
            )


def rows(family: RouterFamily) -> None:
    """Points of a batch get their weights independently of each other, in any order."""
    for made in made_routers(family):
        same_rows("a", lambda i, made=made: torch.cat([*_along(made, _points(made)[:, i])], dim=1), _B)  # type: ignore[misc]  # mypy infers no lambda with defaults


def own_times(family: RouterFamily) -> None:
    """Points of a batch may be at times of their own."""
    for made in made_routers(family):
        x = _points(made)[1]
        t = torch.linspace(0.9, 0.2, _B)
        found, _ = made.component.weights(x, t, made.component.start(x, _times(1.0)))
        for i in range(_B):
            one = x[i : i + 1]
            wanted, _ = made.component.weights(one, t[i : i + 1], made.component.start(one, _times(1.0)[:1]))
            require(
                near(found[i : i + 1], wanted),
                f"the weights of a point at t = {float(t[i]):.2g} change when others of its batch are at other times",
                "use every entry of t for its own row; t[0] and t.mean() are not the batch's time",
            )


def arguments(family: RouterFamily) -> None:
    """x and t are left alone."""
    for made in made_routers(family):
        x, t = _points(made)[2], _times(0.6)
        with untouched(x=x, t=t):
            carried = made.component.start(x, t)
            made.component.weights(x, t, carried)


def round_trip(family: RouterFamily) -> None:
    """A router loaded from its stored tensors answers as before."""
    for made in made_routers(family):
        for one, other in zip(_along(made), _along(made, router=made.load()), strict=True):
            check_same_answers("a router", one, other)


def observe(family: RouterFamily) -> None:
    """A router that observes takes answers of all or of some experts; the second at a time replaces the first."""
    for made in made_routers(family):
        router = made.component
        if not isinstance(router, ObservingRouter):
            continue
        K = len(made.problem.shards)
        every, one = torch.ones(_B, K, dtype=torch.bool), one_hot(torch.arange(_B) % K, K).bool()
        alone = list(_observed(made, router, _points(made), every))
        _require_simplex(alone, K)
        _require_simplex(_observed(made, router, _points(made), one), K)
        for time, wanted, found in zip(
            _TIMES, alone, _observed(made, router, _points(made), every, twice=True), strict=True
        ):
            require_near(
                found,
                wanted,
                f"observing the same answers twice at t = {time:g} changes the weights by",
                "keep in the state where the step began, and start from there at every observation of the same t",
            )
        others = _observed(made, router, _points(made).flip(1) * 0.5, every)
        for time, wanted, (a, _) in zip(
            _TIMES, alone, zip(_observed(made, router, _points(made), every), others, strict=True), strict=True
        ):
            require_near(
                a,
                wanted,
                f"at t = {time:g} observations of another trajectory change the weights by",
                "keep what is observed in the state that is passed along, not in the router",
            )
        half = _B // 2
        for time, wanted, found in zip(
            _TIMES, alone, _observed(made, router, _points(made)[:, :half], every[:half]), strict=True
        ):
            require_near(
                found,
                wanted[:half],
                f"at t = {time:g} the weights of a point depend on answers for others of its batch, by",
                "use the entries of answers.sample for their own rows",
            )


def null_condition(family: RouterFamily) -> None:
    """A router that reads conditions is without one that of its null condition."""
    if reader := _reader(family):
        conditions.check_null(reader)


def condition_rows(family: RouterFamily) -> None:
    """Row i of the weights depends on row i of the condition alone."""
    if reader := _reader(family):
        conditions.check_rows(reader)


def condition(family: RouterFamily) -> None:
    """Under conditions weights stay on the simplex, and differ; `given` changes nothing, nor do unread names."""
    if reader := _reader(family):
        for shift in range(3):
            along = reader.all(reader.part.given(reader.condition(shift)))
            _require_simplex(along.chunk(len(_TIMES), dim=1), len(PI))
        conditions.check_read(reader)


def _reader(family: RouterFamily) -> conditions.Reader[ConditionalRouter] | None:
    """The family's router of items with classes, with its weights along trajectories; None where it reads none."""
    made = with_classes(lambda problem: make_router(family, problem))
    if made is None or not isinstance(made.component, ConditionalRouter) or made.component.null is None:
        return None
    points = _points(made)

    def along(router: ConditionalRouter, rows: Tensor) -> Tensor:
        return torch.cat([*_along(made, points[:, rows], router)], dim=1)

    router = made.component
    return conditions.Reader(what="a", part=router, null=made.component.null, answer=along, count=_B)


def _observed(
    made: Made[Router], router: ObservingRouter, points: Tensor, mask: Tensor, *, twice: bool = False
) -> Iterator[Tensor]:
    """The weights along trajectories, after the answers of the experts in ``mask``, (B, K), at each time."""
    t = torch.ones(points.shape[1])
    carried: Any = router.start(points[0], t)
    for time, here in zip(_TIMES, points, strict=True):
        at_t = time * t
        _, carried = router.weights(here, at_t, carried)
        answers = _gaussian_answers(made, here, time, mask)
        with untouched(x=here, t=at_t, answers=answers.m):
            for _ in range(1 + twice):
                ask = partial(_asked, made, time)
                carried = router.observe(here, at_t, answers, ask, carried)
        a, carried = router.weights(here, at_t, carried)
        yield a


def _asked(made: Made[Router], time: float, x: Tensor, mask: Tensor) -> Evaluations:
    return _gaussian_answers(made, x, time, mask)


def _gaussian_answers(made: Made[Router], x: Tensor, time: float, mask: Tensor) -> Evaluations:
    """The denoisers (D3) of Gaussians with mean and variance of the shards' items, where the mask selects them."""
    p = at_time(made.problem.schedule, time)
    expert, sample = mask.T.nonzero().unbind(1)
    known = [item_moments(shard.items) for shard in made.problem.shards]
    mean, variance = (torch.stack([getattr(m, name) for m in known]) for name in ("mean", "variance"))
    return Evaluations(sample=sample, expert=expert, m=gaussian_denoiser(x[sample], p, mean[expert], variance[expert]))


def _require_simplex(weights: Iterable[Tensor], K: int) -> None:
    for time, a in zip(_TIMES, weights, strict=True):
        where = f"at t = {time:g}"
        require(
            isinstance(a, Tensor) and a.shape == (_B, K) and a.is_floating_point(),
            f"the weights {where} are {looks(a)} for {_B} points and {K} experts",
            f"return floating-point weights of shape (B, K): K is len(config.fractions), {K} here",
        )
        require_finite(f"the weights {where}", a, "add logarithms of densities and take a softmax: densities underflow")
        least = float(a.min())
        require(least >= 0, f"a weight {where} is negative: {least:.3g}", "clamp, or project to the simplex")
        total = a.double().sum(1)
        worst = float(total[(total - 1).abs().argmax()])
        fix = "divide each row by its sum"
        require(abs(worst - 1) < 1e-4, f"the weights of a point {where} sum to {worst:.6g}, not to 1", fix)


def _points(made: Made[Router]) -> Tensor:
    """Points along trajectories, (N, B, *data): the same items and noise at every time."""
    return torch.stack([made.problem.noisy(_times(time)) for time in _TIMES])


def _times(time: float) -> Tensor:
    return torch.full((_B,), time)


def _along(made: Made[Router], x: Tensor | None = None, router: Router | None = None) -> Iterator[Tensor]:
    """The weights along trajectories: those of the problem's ``_points``, or x, (N, B, *data)."""
    asked = made.component if router is None else router
    points = _points(made) if x is None else x
    t = torch.ones(points.shape[1])
    carried: Any = asked.start(points[0], t)
    for time, here in zip(_TIMES, points, strict=True):
        a, carried = asked.weights(here, time * t, carried)
        yield a


CHECKS = (
    training,
    simplex,
    state,
    trajectories,
    rows,
    own_times,
    arguments,
    round_trip,
    observe,
    null_condition,
    condition_rows,
    condition,
)
