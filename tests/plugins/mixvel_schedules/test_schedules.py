"""Schedules against autograd, against each other and against the tables they continue."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mixvel_core.errors import RecipeError
from mixvel_core.field.beta_table import BetaTable, usual_betas
from mixvel_core.protocols import NoiseSchedule
from mixvel_core.testing import run_checks
from mixvel_schedules.schedules import Cosine, Linear, Rectified

DDPM = usual_betas("linear", 1000, 1e-4, 0.02)
SCHEDULES: dict[str, NoiseSchedule] = {
    "linear": Linear(),
    "cosine": Cosine(),
    "rectified": Rectified(),
    "ddpm": BetaTable.from_betas(DDPM),
    "ddpm-cosine": BetaTable.from_betas(usual_betas("squared-cosine", 1000, 1e-4, 0.02)),
    "ddpm-short": BetaTable.from_betas(usual_betas("linear", 50, 1e-4, 0.5)),
}


@pytest.mark.parametrize("name", ["ddpm", "ddpm-cosine", "ddpm-short"])
def test_the_usual_tables_conform(name: str) -> None:
    results = list(run_checks("schedule", lambda: SCHEDULES[name]))
    failed = {result.check.name: result.what for result in results if result.error}
    if name == "ddpm-short":
        # Its second derivative jumps at the table's times, and in float32 a time may lie on the other side of one.
        assert "dd_alpha in float32" in failed.pop("precision")
    assert failed == {}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("field", ["d_alpha", "d_sigma", "dd_alpha"])
def test_closed_forms_equal_autograd_next_to_both_ends(name: str, field: str) -> None:
    t = torch.tensor([1e-9, 1e-6, 1e-3, 1 - 1e-6, 1 - 1e-9, 1.0], dtype=torch.float64, requires_grad=True)
    value = getattr(SCHEDULES[name].at(t), {"d_alpha": "alpha", "d_sigma": "sigma", "dd_alpha": "d_alpha"}[field])
    slope = torch.autograd.grad(value.sum(), t)[0] if value.requires_grad else torch.zeros_like(t)
    torch.testing.assert_close(getattr(SCHEDULES[name].at(t), field), slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["linear", "cosine", "ddpm", "ddpm-cosine"])
def test_variance_is_preserved(name: str) -> None:
    p = SCHEDULES[name].at(torch.linspace(0.0, 1.0, 101, dtype=torch.float64))
    torch.testing.assert_close(p.alpha**2 + p.sigma**2, torch.ones(101, dtype=torch.float64), rtol=0, atol=1e-14)


def test_the_ends_of_the_paper() -> None:
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


@pytest.mark.parametrize("betas", [[0.1, 0.2], [0.1, 0.2, 0.3, 1.0], [0.1, -0.1, 0.1, 0.1]])
def test_unusable_tables_are_refused_in_one_line(betas: list[float]) -> None:
    with pytest.raises(RecipeError) as caught:
        BetaTable.from_betas(betas)
    assert "\n" not in str(caught.value)
