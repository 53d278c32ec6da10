"""Local Lipschitz constants beside the singular values of Jacobians that are written down."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from exact import all_schedules, exact

from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.theory.exact import ClosedForms, EmpiricalLaw, ExactField
from mixvel_core.theory.measured import Products, local_lipschitz
from mixvel_schedules.schedules import Cosine


def largest(J: torch.Tensor) -> torch.Tensor:
    values: torch.Tensor = torch.linalg.svdvals(J)
    return values[..., 0]


@pytest.mark.parametrize("schedule", all_schedules())
def test_of_a_mixture_s_velocity(schedule: str) -> None:
    problem = exact(all_schedules()[schedule], experts=2, dimension=3)
    field = ExactField(
        exact=ClosedForms(schedule=problem.schedule, experts=problem.experts, fractions=problem.fractions)
    )
    x, _ = problem.start(4)
    t = torch.linspace(0.1, 1.0, 4, dtype=torch.float64)
    J = torch.stack([torch.func.jacrev(lambda z, i=i: field.v(z[None], t[i : i + 1])[0])(x[i]) for i in range(4)])
    torch.testing.assert_close(J, J.mT, rtol=0, atol=1e-9)
    for products in get_args(Products):
        found = local_lipschitz(lambda z: field.v(z, t), x, products=products, tolerance=1e-5)
        # From below, and close where the iteration has come to rest; at t = 1 the cosine's field stands still.
        assert bool((found <= largest(J) * (1 + 1e-9) + 1e-12).all())
        torch.testing.assert_close(found, largest(J), rtol=0.05, atol=1e-12)


def test_of_a_field_that_is_no_gradient() -> None:
    torch.manual_seed(0)
    A = torch.randn(5, 5, dtype=torch.float64)
    x = torch.randn(3, 5, dtype=torch.float64)
    found = local_lipschitz(lambda z: (z @ A.T).sin(), x, iterations=1000, tolerance=1e-10)
    torch.testing.assert_close(found, largest((x @ A.T).cos()[:, :, None] * A), rtol=1e-4, atol=0)


def test_of_items_by_products_alone() -> None:
    """The engine is differentiable forwards: J of the velocity is r I + rho (alpha/sigma^2) Cov."""
    torch.manual_seed(1)
    items = [torch.randn(20, 3, dtype=torch.float64) for _ in range(2)]
    field = ExactField(exact=EmpiricalLaw(schedule=Cosine(), engine=PosteriorEngine(shards=tuple(items))))
    x, t = torch.randn(4, 3, dtype=torch.float64), torch.full((4,), 0.4, dtype=torch.float64)
    p = Cosine().at(t[0])
    every = torch.cat(items)
    weights = (-((x[:, None] - p.alpha * every) ** 2).sum(-1) / (2 * p.sigma**2)).softmax(1)
    mean = weights @ every
    around = every - mean[:, None]
    cov = torch.einsum("bi,bid,bie->bde", weights, around, around)
    r = p.d_sigma / p.sigma
    J = r * torch.eye(3, dtype=torch.float64) + (p.d_alpha - p.alpha * r) * p.alpha / p.sigma**2 * cov
    found = local_lipschitz(lambda z: field.v(z, t), x, products="forward", iterations=500, tolerance=1e-9)
    torch.testing.assert_close(found, largest(J), rtol=1e-4, atol=0)


def test_of_a_constant() -> None:
    x = torch.zeros(2, 3, dtype=torch.float64)
    assert local_lipschitz(lambda z: 0 * z + 1, x).tolist() == [0.0, 0.0]
