"""Epsilon: experts and routers spoilt by known amounts."""

from __future__ import annotations

import pytest
import torch
from attrs import frozen
from exact import exact
from torch import Tensor

from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.protocols import Expert, Moments, NoiseSchedule
from mixvel_core.sampling.routed_field import AS_THEY_ARE, WeightTransform
from mixvel_core.theory.exact import ClosedForms, EmpiricalLaw
from mixvel_core.theory.measured import epsilon
from mixvel_schedules.schedules import Cosine


@frozen(kw_only=True, eq=False)
class Spoilt:
    """An expert whose answers are a vector of norm ``by`` too large."""

    expert: Expert
    by: float
    moments: Moments | None = None

    @property
    def schedule(self) -> NoiseSchedule:
        return self.expert.schedule

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        m: Tensor = self.expert.denoise(x, t)
        return m + float(self.by / x.shape[1] ** 0.5)


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
    law = ClosedForms(schedule=problem.schedule, experts=problem.experts, fractions=problem.fractions)
    x, _ = problem.start(50)
    t = torch.linspace(0.05, 1, 50, dtype=torch.float64)
    none = epsilon(law, problem.experts, problem.router, AS_THEY_ARE, x, t)
    assert (none.er_sup, none.er_rms, none.ec_sup, none.ec_rms) == (0, 0, 0, 0)
    spoilt = [Spoilt(expert=e, by=by) for e, by in zip(problem.experts, (0.1, 0.2, 0.3), strict=True)]
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
    law = ClosedForms(schedule=problem.schedule, experts=problem.experts, fractions=problem.fractions)
    x, _ = problem.start(20)
    found = epsilon(law, problem.experts, problem.router, WeightTransform(temperature=0.2), x, x.new_full((20,), 0.7))
    assert found.ec_sup is not None
    assert found.ec_sup > 0.1


def test_a_router_with_a_state_has_no_weights_at_single_points() -> None:
    problem = exact(Cosine(), experts=3, dimension=4)
    law = ClosedForms(schedule=problem.schedule, experts=problem.experts, fractions=problem.fractions)
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
