"""Encoding and decoding: the exact inverse of one Gaussian, orders of the round trip, and what cannot be inverted."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from exact import Exact, exact
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mixvel_core.errors import UsageError
from mixvel_core.protocols import Integrator, NoiseSchedule, Router, Selector
from mixvel_core.sampling.inversion import follows_ode, round_trip, spherical
from mixvel_core.sampling.sampler import Sampler
from mixvel_integrators.angle_multistep import AngleMultistep
from mixvel_integrators.integrators import DDIM, Euler, Heun, Multistep
from mixvel_schedules.schedules import Cosine, Rectified
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Fixed, Iid, Mixture, Nucleus, SumUp, TopK
from mixvel_selectors.switching import Switching

UPWARDS: dict[str, tuple[Integrator, int]] = {
    "euler": (Euler(), 1),
    "heun": (Heun(), 2),
    "ddim": (DDIM(), 1),
    "2m": (Multistep(), 2),
    "pc": (AngleMultistep(), 3),
}


@pytest.fixture(scope="module")
def problem() -> Exact:
    return exact(Cosine(), experts=3, dimension=4)


def sampler(problem: Exact, steps: int, integrator: Integrator, selector: Selector | None = None) -> Sampler:
    return problem.sampler(selector or Mixture(), integrator, steps, 0.05, "chebyshev")


@pytest.mark.parametrize("schedule", [Cosine(), Rectified()], ids=["vp-cosine", "rectified"])
def test_one_gaussian_is_encoded_in_closed_form(schedule: NoiseSchedule) -> None:
    """x_1 = A (A^T (x - alpha mu)) / sqrt(alpha^2 s + sigma^2), with s and A the eigenvalues and axes of S (D3)."""
    one = exact(schedule, experts=1, dimension=3)
    expert: Any = one.experts[0]
    x = one.start(12, seed=3)[0]
    p = schedule.at(torch.tensor(0.05, dtype=torch.float64))
    scale = (p.alpha**2 * expert.variances[0] + p.sigma**2).sqrt()
    wanted = (((x - p.alpha * expert.means[0]) @ expert.axes[0]) / scale) @ expert.axes[0].T
    noise = sampler(one, 200, AngleMultistep()).encode(x)
    torch.testing.assert_close(noise.x, wanted, rtol=1e-4, atol=1e-4)
    assert noise.evaluations.tolist() == [200] * 12
    assert noise.times[0] == 0.05
    assert bool((noise.times.diff() > 0).all())


@pytest.mark.parametrize("name", UPWARDS)
def test_the_round_trip_closes_with_the_order_of_the_integrator(problem: Exact, name: str) -> None:
    integrator, order = UPWARDS[name]
    x = sampler(problem, 40, AngleMultistep()).sample(16, shape=(4,), dtype=torch.float64).x
    errors = [float(round_trip(sampler(problem, n, integrator), x).error.median()) for n in (50, 100)]
    assert errors[1] < errors[0] < 0.3
    assert math.log2(errors[0] / errors[1]) > order - 0.4


def test_fifty_steps_of_pc_close_within_a_hundredth(problem: Exact) -> None:
    x = sampler(problem, 40, AngleMultistep()).sample(16, shape=(4,), dtype=torch.float64).x
    error = round_trip(sampler(problem, 50, AngleMultistep()), x).error
    assert float(error.max()) < 1e-2
    assert float(error.median()) < 1e-3


def test_decoding_the_noise_of_samples_gives_the_samples(problem: Exact) -> None:
    one = sampler(problem, 12, Multistep())
    noise = problem.start(9)[0]
    made = one.sample(9, shape=(4,), dtype=torch.float64)
    assert torch.equal(one.decode(noise).x, made.x)
    torch.testing.assert_close(one.decode(noise, batch=4).x, made.x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("selector", [Iid(), Fixed(), SumUp(), Cached(), Switching()], ids=lambda s: type(s).__name__)
def test_selectors_with_a_state_decode_and_do_not_encode(problem: Exact, selector: Selector) -> None:
    one = sampler(problem, 5, DDIM(), selector)
    noise = problem.start(4)[0]
    assert one.decode(noise).x.shape == noise.shape
    with pytest.raises(
        UsageError, match=rf"selector {type(selector).__name__} carries a state .*take selector mixture"
    ):
        one.encode(noise)


def test_only_functions_of_x_and_t_follow_an_ode(problem: Exact) -> None:
    class Integrating:
        def start(self, x: Tensor, t: Tensor) -> Tensor:
            return x

        def weights(self, x: Tensor, t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            return x.new_full((len(x), 3), 1 / 3), state

    def follows(router: Router, selector: Selector) -> bool:
        return follows_ode(router=router, selector=selector, schedule=problem.schedule, shape=(4,), device="cpu")

    for selector in (Mixture(), TopK(k=2), Nucleus(mass=0.9)):
        assert follows(problem.router, selector)
        assert not follows(Integrating(), selector)
    for other in (Iid(), Cached(), Switching()):
        assert not follows(problem.router, other)


def test_what_cannot_be_encoded_is_refused_in_one_line(problem: Exact) -> None:
    x = problem.start(3)[0]
    with pytest.raises(UsageError, match="set delta above 0"):
        problem.sampler(Mixture(), DDIM(), 5, 0.0).encode(x)
    shaped = Sampler(
        schedule=problem.schedule,
        experts=problem.experts,
        router=problem.router,
        selector=Mixture(),
        integrator=DDIM(),
        steps=5,
        shape=(7,),
    )
    for move in (shaped.encode, shaped.decode):
        with pytest.raises(UsageError, match=r"points of shape \(4,\) are given to a sampler of shape \(7,\)"):
            move(x)
    with pytest.raises(UsageError, match="at least one point"):
        sampler(problem, 5, DDIM()).encode(x[:0])


@pytest.mark.parametrize("move", ["encode", "decode"])
def test_points_that_are_no_finite_floats_are_refused_before_anything_is_evaluated(problem: Exact, move: str) -> None:
    x = problem.start(3)[0]
    broken = x.clone()
    broken[1, 2] = math.nan
    wrong: list[tuple[Any, str]] = [
        (broken, "points have values that are not finite; leave those out"),
        (x.long(), r"not torch.int64; of bytes give x.float\(\) / 127.5 - 1"),
        (x.numpy(), r"not ndarray; .* of an array torch.from_numpy\(x\)"),
        (torch.tensor(0.5), r"not \(\) and 256"),
    ]
    for points, line in wrong:
        with pytest.raises(UsageError, match=line):
            getattr(sampler(problem, 5, DDIM()), move)(points)


def test_steps_are_reported_over_all_batches(problem: Exact) -> None:
    told: list[int] = []
    round_trip(sampler(problem, 3, DDIM()), problem.start(5)[0], batch=2, on_step=told.append)
    assert told == [2, 4, 6, 8, 10, 12, 13, 14, 15, *(15 + n for n in (2, 4, 6, 8, 10, 12, 13, 14, 15))]


@given(st.integers(0, 2**31), st.floats(0.0, 1.0))
def test_spherical_interpolation_keeps_the_length_of_equal_lengths(seed: int, u: float) -> None:
    a, b = torch.randn(2, 1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    a, b = a / a.norm(), b / b.norm()
    between = spherical(a, b, torch.tensor([0.0, u, 1.0]))[0]
    torch.testing.assert_close(between[0], a[0])
    torch.testing.assert_close(between[2], b[0])
    assert float(between[1].norm()) == pytest.approx(1.0)
    assert float((between[1] * a[0]).sum().clamp(-1, 1).acos()) == pytest.approx(
        u * float((a * b).sum().clamp(-1, 1).acos()), abs=1e-6
    )


def test_spherical_interpolation_of_equal_points_is_the_point() -> None:
    a = torch.ones(2, 1, 2, 2)
    torch.testing.assert_close(spherical(a, a, torch.tensor([0.3])), a[:, None])
    with pytest.raises(UsageError, match="nothing between"):
        spherical(a, a[:1], torch.tensor([0.3]))
