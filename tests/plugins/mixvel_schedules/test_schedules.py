"""Schedules against autograd, against each other and against the tables they stand for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mixvel_core.errors import RecipeError
from mixvel_core.field.beta_table import BetaTable, usual_betas
from mixvel_core.protocols import NoiseSchedule
from mixvel_schedules.schedules import Cosine, Linear, Rectified

DDPM = usual_betas("linear", 1000, 1e-4, 0.02)
SCHEDULES: dict[str, NoiseSchedule] = {
    "linear": Linear(),
    "cosine": Cosine(),
    "rectified": Rectified(),
    "ddpm": BetaTable.from_betas(DDPM),
    "ddpm-cosine": BetaTable.from_betas(usual_betas("squared-cosine", 1000, 1e-4, 0.02)),
}
TIMES = [1e-9, 1e-6, 1e-3, 0.0123, 0.25, 0.5, 0.75, 0.9871, 1 - 1e-6, 1 - 1e-9, 1.0]


def derivative(schedule: NoiseSchedule, name: str, t: torch.Tensor) -> torch.Tensor:
    t = t.clone().requires_grad_()
    value = getattr(schedule.at(t), name)
    # A field that does not depend on t has derivative zero.
    if not value.requires_grad:
        return torch.zeros_like(t)
    (gradient,) = torch.autograd.grad(value.sum(), t, allow_unused=True)
    return torch.zeros_like(t) if gradient is None else gradient


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("field", "of"), [("d_alpha", "alpha"), ("d_sigma", "sigma"), ("dd_alpha", "d_alpha")])
def test_closed_forms_equal_autograd_at_and_near_both_ends(name: str, field: str, of: str) -> None:
    schedule = SCHEDULES[name]
    t = torch.tensor(TIMES, dtype=torch.float64)
    torch.testing.assert_close(getattr(schedule.at(t), field), derivative(schedule, of, t), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "d_sigma"),
    # sigma is a square root of t wherever beta(0) > 0: its slope at 0 is infinite, and autograd returns inf * 0.
    [
        ("linear", math.inf),
        ("cosine", math.pi / 2),
        ("rectified", 1.0),
        ("ddpm", math.inf),
        ("ddpm-cosine", math.inf),
    ],
)
def test_time_zero_is_clean_data(name: str, d_sigma: float) -> None:
    schedule = SCHEDULES[name]
    zero = torch.zeros(1, dtype=torch.float64)
    p = schedule.at(zero)
    assert p.alpha.item() == 1.0
    assert p.sigma.item() == 0.0
    assert p.d_sigma.item() == d_sigma
    torch.testing.assert_close(p.d_alpha, derivative(schedule, "alpha", zero), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_signal_to_noise_ratio_falls_strictly(name: str) -> None:
    p = SCHEDULES[name].at(torch.linspace(1e-6, 1.0, 4001, dtype=torch.float64))
    ratio = p.alpha / p.sigma
    assert (ratio[1:] < ratio[:-1]).all()


@pytest.mark.parametrize("name", ["linear", "cosine", "ddpm", "ddpm-cosine"])
def test_variance_is_preserved(name: str) -> None:
    p = SCHEDULES[name].at(torch.linspace(0.0, 1.0, 101, dtype=torch.float64))
    torch.testing.assert_close(p.alpha**2 + p.sigma**2, torch.ones(101, dtype=torch.float64), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_follow_the_times(name: str, dtype: torch.dtype) -> None:
    t = torch.rand(2, 3, dtype=dtype)
    p = SCHEDULES[name].at(t)
    for value in (p.alpha, p.sigma, p.d_alpha, p.d_sigma, p.dd_alpha):
        assert value.shape == t.shape
        assert value.dtype == dtype


def test_the_ends_the_paper_asks_for() -> None:
    one = torch.ones(1, dtype=torch.float64)
    assert SCHEDULES["cosine"].at(one).alpha.item() == 0.0
    assert SCHEDULES["rectified"].at(one).alpha.item() == 0.0
    # theory.md, section 1: the linear schedule ends at exp(-5.025), not at zero.
    assert SCHEDULES["linear"].at(one).alpha.item() == pytest.approx(math.exp(-5.025), rel=1e-12)


def test_table_equals_the_cumulative_product_at_its_own_times() -> None:
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    product = np.cumprod(1.0 - np.asarray(DDPM))
    np.testing.assert_allclose(SCHEDULES["ddpm"].at(t).alpha.numpy() ** 2, product, rtol=1e-12)


def test_table_of_the_linear_betas_is_the_linear_schedule_in_the_limit() -> None:
    # beta_i = beta(i/T)/T with T large is the continuous linear schedule up to O(1/T).
    t = torch.linspace(0.05, 1.0, 20, dtype=torch.float64)
    count = 20000
    discrete = BetaTable.from_betas([(0.1 + (20.0 - 0.1) * (i + 0.5) / count) / count for i in range(count)])
    torch.testing.assert_close(discrete.at(t).alpha, Linear().at(t).alpha, rtol=3e-3, atol=0)


@pytest.mark.parametrize(
    "betas", [[0.1, 0.2], [0.1, 0.2, 0.3, 1.0], [0.1, -0.1, 0.1, 0.1], [1e-6, 0.9, 1e-6, 0.9, 1e-6]]
)
def test_unusable_tables_are_refused_in_one_line(betas: list[float]) -> None:
    with pytest.raises(RecipeError) as caught:
        BetaTable.from_betas(betas)
    assert "\n" not in str(caught.value)
