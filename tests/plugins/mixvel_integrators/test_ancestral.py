"""`ancestral`: DDIM at eta = 0, the law that it keeps, noise that belongs to samples, and where no SDE is accepted."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from exact import exact

from mixvel_core import build
from mixvel_core.errors import SamplingError, UsageError
from mixvel_core.protocols import NoiseSchedule
from mixvel_core.testing import run_checks
from mixvel_core.testing.integrators import OneGaussian, follow, grid
from mixvel_integrators.ancestral import Ancestral
from mixvel_integrators.integrators import DDIM
from mixvel_schedules.schedules import Cosine, Rectified
from mixvel_selectors.selectors import Iid, Mixture


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_conformance(eta: float) -> None:
    results = run_checks("integrator", partial(build, "integrator", "ancestral", {"eta": eta}))
    assert [result.what for result in results if result.error] == []


def test_eta_0_is_ddim_to_the_last_bit() -> None:
    problem = exact(Cosine(), experts=3, dimension=3)
    [(x, _), (y, _)] = [problem.run(Iid(), method, 7, delta=0.0) for method in (Ancestral(eta=0.0), DDIM())]
    assert torch.equal(x, y)


@pytest.mark.parametrize("schedule", [Cosine(), Rectified()], ids=["cosine", "rectified"])
def test_a_point_mass_is_noised_exactly_at_every_step_length(schedule: NoiseSchedule) -> None:
    """With the clean item known, m = mu, x_s is N(alpha_s mu, sigma_s^2), and at eta = 1 it is drawn from the posterior
    given x_t and the item: the covariance of x_t and x_s is sigma_s^2 alpha_t/alpha_s."""
    flow = OneGaussian(schedule=schedule, variance=0.0)
    t, s, count = 0.8, 0.3, 200_000
    x = torch.zeros(count, 2, dtype=torch.float64)
    alpha_t, sigma_t = (float(v) for v in (schedule.at(torch.tensor(t)).alpha, schedule.at(torch.tensor(t)).sigma))
    alpha_s, sigma_s = (float(v) for v in (schedule.at(torch.tensor(s)).alpha, schedule.at(torch.tensor(s)).sigma))
    eps = torch.randn(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = alpha_t * flow.mean + sigma_t * eps
    y, _ = Ancestral().step(flow, x, t, s, None)
    error = 4 * sigma_s / math.sqrt(2 * count)
    assert float(y.mean()) == pytest.approx(alpha_s * flow.mean, abs=error)
    assert float(y.std()) == pytest.approx(sigma_s, abs=error)
    covariance = float(((x - x.mean()) * (y - y.mean())).mean())
    assert covariance == pytest.approx(sigma_s**2 * alpha_t / alpha_s, abs=4 * sigma_t * sigma_s / math.sqrt(2 * count))


def test_the_noise_of_a_sample_is_a_function_of_seed_index_and_step() -> None:
    sampler = exact(Cosine(), experts=3, dimension=3).sampler(Mixture(), Ancestral(), 5, 0.05)
    together = sampler.sample(count=7, shape=(3,), seed=2, dtype=torch.float64)
    cut = sampler.sample(count=7, shape=(3,), seed=2, dtype=torch.float64, batch=3)
    torch.testing.assert_close(cut.x, together.x, rtol=1e-12, atol=1e-12)
    field = sampler.trajectory(*exact(Cosine(), dimension=3).start(4))[1]
    x = torch.zeros(4, 3, dtype=torch.float64)
    assert torch.equal(field.noise(x, 2), field.noise(x, 2))
    assert not torch.equal(field.noise(x, 2), field.noise(x, 3))


def test_an_sde_is_refused_where_an_ode_is_followed() -> None:
    class Bare:
        schedule = Cosine()

        def denoise(self, x: torch.Tensor, t: float) -> torch.Tensor:
            return x

    with pytest.raises(SamplingError, match="needs noise"):
        follow(Ancestral(), Bare(), torch.zeros(2, 2), grid(3))
    sampler = exact(Cosine(), dimension=3).sampler(Mixture(), Ancestral(), 5, 0.05)
    with pytest.raises(UsageError, match="follows an SDE; take one of the ODE"):
        sampler.encode(torch.zeros(2, 3))
