"""What is done to weights before a selector sees them: known values, the simplex, continuity, and where it begins."""

from __future__ import annotations

import pytest
import torch
from attrs import evolve
from exact import exact
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixvel_core.protocols import Selector
from mixvel_core.sampling.weights import WeightTransform, nearest_on_simplex
from mixvel_integrators.integrators import DDIM
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Iid, Mixture, Nucleus, SumUp, TopK
from mixvel_selectors.switching import Switching

A = torch.tensor([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]], dtype=torch.float64)


def at(t: float, a: Tensor) -> Tensor:
    return a.new_full((len(a),), t)


def weights(seed: int, experts: int = 5, count: int = 6) -> Tensor:
    a = torch.rand(count, experts, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) ** 3
    return a / a.sum(1, keepdim=True)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    temperature=st.floats(0.05, 20.0),
    floor=st.floats(0.0, 0.9),
    top=st.integers(1, 7),
    soft=st.floats(1.0, 9.0),
    t=st.floats(0.0, 1.0),
)
@example(seed=0, temperature=1.0, floor=0.0, top=3, soft=2.0, t=1.0)
def test_transformed_weights_stay_on_the_simplex(
    seed: int, temperature: float, floor: float, top: int, soft: float, t: float
) -> None:
    a = weights(seed)
    transform = WeightTransform(temperature=temperature, floor=floor, top=top, soft=soft)
    w = transform(a, at(t, a))
    torch.testing.assert_close(w.sum(1), torch.ones(6, dtype=torch.float64))
    assert bool((w >= 0).all())
    assert torch.equal(w.argmax(1), a.argmax(1))
    assert int((w > 0).sum(1).max()) <= top
    hard = evolve(transform, soft=1.0)(a, at(t, a))
    assert bool(((hard == 0) | (hard >= floor - 1e-12)).all())


def test_known_transforms() -> None:
    t = at(0.5, A)
    assert WeightTransform()(A, t) is A
    squares = torch.tensor([[0.49, 0.04, 0.01]], dtype=torch.float64) / 0.54
    torch.testing.assert_close(WeightTransform(temperature=0.5)(A, t)[:1], squares)
    torch.testing.assert_close(WeightTransform(temperature=0.5)(A, t)[1:], A[1:])
    dropped = torch.tensor([[0.7, 0.2, 0.0]], dtype=torch.float64) / 0.9
    torch.testing.assert_close(WeightTransform(floor=0.15)(A, t)[:1], dropped)
    torch.testing.assert_close(WeightTransform(top=2)(A, t)[:1], dropped)
    assert WeightTransform(top=3)(A, t) is A
    # c = 1 + 2 (1 - 0.5) = 2: (1.4, 0.4, 0.2) less tau, 0.4 if one is above it.
    torch.testing.assert_close(WeightTransform(soft=3.0)(A, t)[0], torch.tensor([1.0, 0.0, 0.0]).double())
    # c = 1.5 at t = 0.75: (1.05, 0.3, 0.15), tau = (1.35 - 1) / 2.
    torch.testing.assert_close(WeightTransform(soft=3.0)(A, at(0.75, A))[0], torch.tensor([0.875, 0.125, 0.0]).double())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**20), experts=st.integers(1, 9), scale=st.floats(0.1, 50.0))
def test_the_projection_is_the_nearest_point(seed: int, experts: int, scale: float) -> None:
    """At the minimum of a convex distance no way along the simplex leads nearer: (y - w, z - w) <= 0, z in it."""
    y = scale * torch.randn(4, experts, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    w = nearest_on_simplex(y)
    torch.testing.assert_close(w.sum(1), torch.ones(4, dtype=torch.float64))
    corners = (y - w) - ((y - w) * w).sum(1, keepdim=True)
    assert float(corners.max()) < 1e-9 * scale
    a = weights(seed, experts, 4)
    torch.testing.assert_close(nearest_on_simplex(a), a)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**20), soft=st.floats(1.0, 20.0), t=st.floats(0.0, 1.0), from_=st.floats(0.05, 1.0))
def test_soft_truncation_has_no_jump_in_the_weights_nor_in_time(seed: int, soft: float, t: float, from_: float) -> None:
    """||w - w'|| <= c ||a - a'||, and at a distance dt in time at most (soft - 1) dt / from."""
    transform = WeightTransform(soft=soft, from_=from_)
    a, b = weights(seed), weights(seed + 1)
    near = a + 1e-6 * (b - a)
    moved = (transform(near, at(t, a)) - transform(a, at(t, a))).norm(dim=1)
    c = 1.0 + (soft - 1.0) * max(0.0, 1.0 - t / from_)
    assert bool((moved <= c * (near - a).norm(dim=1) + 1e-12).all())
    later = (transform(a, at(min(1.0, t + 1e-6), a)) - transform(a, at(t, a))).norm(dim=1)
    assert float(later.max()) <= (soft - 1.0) * 1e-6 / from_ + 1e-12


def test_a_hard_truncation_jumps_where_two_experts_change_places() -> None:
    a = torch.tensor([[0.5, 0.25 + 1e-9, 0.25 - 1e-9], [0.5, 0.25 - 1e-9, 0.25 + 1e-9]], dtype=torch.float64)
    hard, soft = (transform(a, at(0.5, a)) for transform in (WeightTransform(top=2), WeightTransform(soft=2.0)))
    assert float((hard[0] - hard[1]).abs().max()) > 0.3
    assert float((soft[0] - soft[1]).abs().max()) < 1e-8


@pytest.mark.parametrize(
    "transform", [WeightTransform(top=1), WeightTransform(temperature=0.3), WeightTransform(floor=0.3)]
)
def test_above_its_time_weights_are_the_routers(transform: WeightTransform) -> None:
    a = weights(0)
    late = evolve(transform, from_=0.5)
    times = torch.tensor([1.0, 0.6, 0.50001, 0.5, 0.4, 0.0], dtype=torch.float64)
    w = late(a, times)
    assert torch.equal(w[:3], a[:3])
    assert torch.equal(w[3:], transform(a, times)[3:])
    assert not torch.equal(w[3:], a[3:])


def test_a_transform_acts_before_the_selector() -> None:
    problem = exact(Cosine(), experts=4, dimension=3)
    sampler = problem.sampler(Mixture(), DDIM(), 6, 0.05)
    sharp = evolve(sampler, weights=WeightTransform(temperature=1e-6))
    truncated = evolve(sampler, weights=WeightTransform(top=2))
    x, draws = problem.start(10)
    for transformed, k in ((sharp, 1), (truncated, 2)):
        got, field = transformed.trajectory(x, draws)
        wanted, usual = evolve(sampler, selector=TopK(k=k)).trajectory(x, draws)
        torch.testing.assert_close(got, wanted)
        # What has no weight is not evaluated.
        assert field.evaluations.tolist() == usual.evaluations.tolist() == [6 * k] * 10


SELECTORS: dict[str, Selector] = {
    "mixture": Mixture(),
    "topk": TopK(k=3),
    "nucleus": Nucleus(mass=1.0),
    "iid": Iid(),
    "sum-up": SumUp(),
    "cached": Cached(),
    "cached-all": Cached(tolerance=0.0),
    "switching": Switching(),
}


@pytest.mark.parametrize("name", SELECTORS)
def test_below_its_time_no_selector_evaluates_what_was_dropped(name: str) -> None:
    """Usage is counted by what was evaluated: at most one expert of each sample where one weight is left."""
    problem = exact(Cosine(), experts=4, dimension=3)
    sampler = problem.sampler(SELECTORS[name], DDIM(), 10, 0.05)
    x, draws = problem.start(20)
    _, field = evolve(sampler, weights=WeightTransform(top=1, from_=0.5)).trajectory(x, draws)
    shares = torch.stack(field.usage).sum(1)
    below = torch.tensor([t <= 0.5 for t in field.times])
    torch.testing.assert_close(shares[below], torch.ones(int(below.sum())))
    if name in ("mixture", "cached-all"):
        torch.testing.assert_close(shares[~below], torch.full((int((~below).sum()),), 4.0))
