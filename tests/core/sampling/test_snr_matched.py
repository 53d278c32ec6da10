"""Experts of different schedules in one mixture: exact identities on oracles whose answers are known under each."""

from __future__ import annotations

import math

import pytest
import torch
from attrs import evolve, frozen
from exact import Exact, all_schedules, exact
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixvel_core.field.angle import time_of
from mixvel_core.protocols import DensityExpert, NoiseSchedule, SchedulePoint
from mixvel_core.sampling.ode import reference
from mixvel_core.sampling.snr_matched import SNRMatched, SNRMatchedDensity, snr_matched
from mixvel_integrators.integrators import Multistep
from mixvel_oracles.denoisers import EmpiricalExpert, OracleRouter
from mixvel_schedules.schedules import Cosine, Linear, Rectified
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Mixture

SCHEDULES = all_schedules()
PAIRS = [(sampler, own) for sampler in SCHEDULES for own in SCHEDULES if sampler != own]
INSIDE = (1e-6, 0.99)
"""Where every schedule has the ratios of every other: VP-linear and the table end at alpha = 0.007."""


def points(count: int, dimension: int, seed: int = 0) -> Tensor:
    return torch.randn(count, dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def density(expert: object) -> SNRMatchedDensity:
    assert isinstance(expert, SNRMatchedDensity)
    return expert


@pytest.mark.parametrize(("sampler", "own"), PAIRS)
def test_the_denoiser_of_equal_points_is_the_same(sampler: str, own: str) -> None:
    wanted, other = (exact(SCHEDULES[name], dimension=5).whole for name in (sampler, own))
    got = snr_matched(other, SCHEDULES[sampler])
    t = torch.cat([torch.logspace(-6, -1, 12, dtype=torch.float64), torch.linspace(0.1, 0.99, 20, dtype=torch.float64)])
    x = points(len(t), 5)
    torch.testing.assert_close(got.denoise(x, t), wanted.denoise(x, t), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("sampler", "own"), PAIRS)
def test_the_density_is_the_same_with_its_jacobian(sampler: str, own: str) -> None:
    wanted, other = (exact(SCHEDULES[name], dimension=5).whole for name in (sampler, own))
    got = density(snr_matched(other, SCHEDULES[sampler]))
    t = torch.linspace(1e-3, 0.99, 20, dtype=torch.float64)
    p = SCHEDULES[sampler].at(t)
    x = points(len(t), 5) * torch.hypot(p.alpha, p.sigma)[:, None]
    torch.testing.assert_close(got.log_density(x, t), wanted.log_density(x, t), rtol=1e-9, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    sampler=st.sampled_from(sorted(SCHEDULES)),
    own=st.sampled_from(sorted(SCHEDULES)),
    t=st.floats(*INSIDE),
    seed=st.integers(0, 1000),
)
def test_experts_that_know_their_items_by_heart_agree_too(sampler: str, own: str, t: float, seed: int) -> None:
    items = points(7, 3, seed).reshape(7, 1, 1, 3)
    wanted, other = (EmpiricalExpert(schedule=SCHEDULES[s], items=items, bandwidth=0.2) for s in (sampler, own))
    x, times = points(4, 3, seed + 1).reshape(4, 1, 1, 3), torch.full((4,), t, dtype=torch.float64)
    got = snr_matched(other, SCHEDULES[sampler])
    torch.testing.assert_close(got.denoise(x, times), wanted.denoise(x, times), rtol=1e-8, atol=1e-8)
    own_density = density(got) if own != sampler else other
    torch.testing.assert_close(own_density.log_density(x, times), wanted.log_density(x, times), rtol=1e-8, atol=1e-8)


def mixed(schedule: NoiseSchedule, *own: NoiseSchedule) -> Exact:
    """The problem of ``schedule`` with experts, and the oracle router's, of the schedules ``own``."""
    problem = exact(schedule, experts=len(own), dimension=3)
    experts = tuple(exact(other, experts=len(own), dimension=3).experts[k] for k, other in enumerate(own))
    return evolve(problem, experts=experts)


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Rectified()], ids=lambda s: type(s).__name__)
def test_three_schedules_in_one_sampler_go_where_one_schedule_goes(schedule: NoiseSchedule) -> None:
    """Below the last ratio of VP-linear, where all three exist; from the same points, with the same steps."""
    alone = exact(schedule, experts=3, dimension=3)
    together = mixed(schedule, Linear(), Cosine(), Rectified())
    x, draws = alone.start(40)
    for selector in (Mixture(), Cached()):
        ends = [p.sampler(selector, Multistep(), 12, 0.02).trajectory(x, draws)[0] for p in (alone, together)]
        # Sampling from VP-linear stays within all schedules. The others begin at alpha = 0, where the expert of
        # VP-linear is right to first order in the alpha at which it ends.
        inside = isinstance(schedule, Linear)
        torch.testing.assert_close(ends[1], ends[0], rtol=0, atol=1e-9 if inside else 2e-4)


def test_the_flow_of_three_schedules_is_the_flow_of_one() -> None:
    """dopri5 chooses its own steps, so the two agree to its tolerance."""
    alone, together = exact(Linear(), experts=3, dimension=3), mixed(Linear(), Linear(), Cosine(), Rectified())
    x, _ = alone.start(20)
    ends = [
        reference(x, schedule=Linear(), experts=p.experts, router=p.router, delta=0.02, rtol=1e-9, atol=1e-9)
        for p in (alone, together)
    ]
    torch.testing.assert_close(ends[1], ends[0], rtol=0, atol=1e-6)


def test_the_posterior_of_mixed_experts_is_right_only_with_the_jacobian() -> None:
    alone = exact(Cosine(), experts=3, dimension=6)
    schedules: list[NoiseSchedule] = [Linear(), Cosine(), Rectified()]
    experts: tuple[DensityExpert, ...] = tuple(
        density(e)
        if isinstance(e := snr_matched(exact(s, experts=3, dimension=6).experts[k], Cosine()), SNRMatched)
        else e  # type: ignore[misc]  # an oracle of the sampler's own schedule is left as it is
        for k, s in enumerate(schedules)
    )
    x, t = points(30, 6), torch.linspace(0.05, 1.0, 30, dtype=torch.float64)
    a, _ = OracleRouter(experts=experts, fractions=alone.fractions).weights(x, t, None)
    wanted, _ = alone.router.weights(x, t, None)
    inside = t < 0.99
    torch.testing.assert_close(a[inside], wanted[inside], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(a, wanted, rtol=0, atol=1e-3)
    torch.testing.assert_close(a[-1], torch.tensor(alone.fractions, dtype=torch.float64), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sampler", [Cosine(), Rectified()], ids=lambda s: type(s).__name__)
def test_beyond_the_noisiest_time_of_an_expert_the_error_is_of_second_order_in_its_last_alpha(
    sampler: NoiseSchedule,
) -> None:
    x, one = points(50, 4), torch.ones(50, dtype=torch.float64)
    wanted = exact(sampler, dimension=4).whole
    errors = []
    for alpha in (0.1, 0.05):
        own = exact(Linear(beta_min=0.1, beta_max=-4 * math.log(alpha) - 0.1), dimension=4).whole
        got = snr_matched(own, sampler)
        torch.testing.assert_close(got.denoise(x, one), wanted.denoise(x, one), rtol=0, atol=1e-14)
        # Where the sampler's ratio is half the expert's last one.
        t = time_of(sampler, torch.atan(2 * torch.tensor((1 - alpha**2) ** 0.5 / alpha, dtype=torch.float64))) * one
        errors.append(float((got.denoise(x, t) - wanted.denoise(x, t)).norm() / wanted.denoise(x, t).norm()))
    assert errors[0] < 0.02
    assert 0.15 < errors[1] / errors[0] < 0.35


@frozen(kw_only=True)
class Noisy:
    """VP-linear time turned so that data at t = 0 still carry noise: a cleanest time of less than all."""

    first: float

    def at(self, t: Tensor) -> SchedulePoint:
        p = Linear().at(self.first + (1 - self.first) * t)
        return evolve(p, d_alpha=p.d_alpha * (1 - self.first), d_sigma=p.d_sigma * (1 - self.first))


def test_beyond_the_cleanest_time_of_an_expert_the_denoiser_tends_to_the_point_itself() -> None:
    x = points(50, 4)
    wanted = exact(Cosine(), dimension=4).whole
    got = snr_matched(exact(Noisy(first=0.02), dimension=4).whole, Cosine())
    zero = torch.zeros(50, dtype=torch.float64)
    torch.testing.assert_close(got.denoise(x, zero), x, rtol=0, atol=1e-14)
    inside = zero + 0.3
    torch.testing.assert_close(got.denoise(x, inside), wanted.denoise(x, inside), rtol=1e-10, atol=1e-10)
    # Its noise at its cleanest is 0.078; here a half of that.
    t = zero + 0.0248
    correction = wanted.denoise(x, t) - x / SCHEDULES["vp-cosine"].at(t).alpha[:, None]
    error = got.denoise(x, t) - wanted.denoise(x, t)
    assert float(error.norm()) < 0.25 * float(correction.norm())


def test_clean_data_is_reached_exactly() -> None:
    x, zero = points(6, 4), torch.zeros(6, dtype=torch.float64)
    for own in SCHEDULES.values():
        m = SNRMatched(expert=exact(own, dimension=4).whole, schedule=Cosine()).denoise(x, zero)
        torch.testing.assert_close(m, x, rtol=0, atol=1e-14)


def test_an_expert_of_the_samplers_schedule_is_left_alone() -> None:
    expert = exact(Linear()).whole
    assert snr_matched(expert, Linear()) is expert


def test_moments_and_dtype_pass_through() -> None:
    expert = exact(Rectified(), dimension=3).whole
    got = snr_matched(expert, Linear())
    assert got.moments is expert.moments
    assert got.denoise(points(4, 3).float(), torch.rand(4)).dtype == torch.float32
