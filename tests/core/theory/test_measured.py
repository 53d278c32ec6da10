"""What of the bounds is measured: epsilon of experts and routers spoilt by known amounts, and local Lipschitz constants
beside the singular values of Jacobians that are written down."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from attrs import frozen
from exact import Altered, all_schedules, exact
from torch import Tensor

from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.sampling.weights import AS_THEY_ARE, WeightTransform
from mixvel_core.theory.exact import EmpiricalLaw, ExactField
from mixvel_core.theory.measured import Products, epsilon, local_lipschitz
from mixvel_schedules.schedules import Cosine


@frozen(kw_only=True)
class Certain:
    """A router that always says expert 0; with a state if it is told to."""

    state: object = None

    def start(self, x: Tensor, t: Tensor) -> object:
        return self.state

    def weights(self, x: Tensor, t: Tensor, state: object) -> tuple[Tensor, object]:
        a = x.new_zeros(len(x), 3)
        a[:, 0] = 1
        return a, state


def test_of_what_is_exact_is_zero_and_of_what_is_spoilt_is_known() -> None:
    problem = exact(Cosine(), experts=3, dimension=4)
    law = problem.law
    x, _ = problem.start(50)
    t = torch.linspace(0.05, 1, 50, dtype=torch.float64)
    none = epsilon(law, problem.experts, problem.router, AS_THEY_ARE, x, t)
    assert (none.er_sup, none.er_rms, none.ec_sup, none.ec_rms) == (0, 0, 0, 0)
    # Vectors of norms 0.1, 0.2 and 0.3 in four dimensions.
    spoilt = [
        Altered(expert=e, change=lambda m, t, by=by: m + by / 2)  # type: ignore[misc]  # mypy infers no default
        for e, by in zip(problem.experts, (0.1, 0.2, 0.3), strict=True)
    ]
    found = epsilon(law, spoilt, problem.router, AS_THEY_ARE, x, t)
    assert found.er_sup == pytest.approx(0.3)
    a = problem.router.weights(x, t, None)[0]
    assert found.er_rms == pytest.approx(float((a @ torch.tensor([0.01, 0.04, 0.09]).double()).mean().sqrt()))
    assert found.count == 50
    wrong = epsilon(law, problem.experts, Certain(), AS_THEY_ARE, x, t)
    assert wrong.ec_sup == pytest.approx(float((1 - a[:, 0]).max()))
    one_hot = torch.eye(3, dtype=torch.float64)[0]
    assert wrong.ec_rms == pytest.approx(float(((a - one_hot) ** 2).mean().sqrt()))
    assert wrong.er_sup == 0


def test_what_is_done_to_the_weights_counts() -> None:
    problem = exact(Cosine(), experts=3, dimension=4)
    law = problem.law
    x, _ = problem.start(20)
    found = epsilon(law, problem.experts, problem.router, WeightTransform(temperature=0.2), x, x.new_full((20,), 0.7))
    assert found.ec_sup is not None
    assert found.ec_sup > 0.1


def test_a_router_with_a_state_has_no_weights_at_single_points() -> None:
    problem = exact(Cosine(), experts=3, dimension=4)
    law = problem.law
    x, _ = problem.start(4)
    found = epsilon(law, problem.experts, Certain(state=1), AS_THEY_ARE, x, x.new_full((4,), 0.5))
    assert found.ec_sup is None
    assert found.ec_rms is None


def test_items_are_their_own_law() -> None:
    """Near t = 0 the denoiser of a set of items is the item that was noised."""
    torch.manual_seed(0)
    items = torch.randn(30, 4, dtype=torch.float64)
    law = EmpiricalLaw(schedule=Cosine(), engine=PosteriorEngine(shards=(items[:10], items[10:])))
    t = torch.full((30,), 0.01, dtype=torch.float64)
    p = Cosine().at(t[0])
    a, m_k = law.parts(p.alpha * items + p.sigma * torch.randn_like(items), t)
    assert a[:10, 0].tolist() == pytest.approx([1.0] * 10)
    torch.testing.assert_close(m_k[10:, 1], items[10:], rtol=0, atol=1e-8)


def largest(J: torch.Tensor) -> torch.Tensor:
    values: torch.Tensor = torch.linalg.svdvals(J)
    return values[..., 0]


@pytest.mark.parametrize("schedule", all_schedules())
def test_of_a_mixture_s_velocity(schedule: str) -> None:
    problem = exact(all_schedules()[schedule], experts=2, dimension=3)
    field = ExactField(exact=problem.law)
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
