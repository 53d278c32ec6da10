"""Routers that keep a state, or go by the experts' answers, under guidance: who routes the reference."""

from __future__ import annotations

import pytest
import torch
from attrs import frozen
from labelled import classes, labelled
from torch import Tensor

from mixvel_core.protocols import CLASS, Ask, Condition, Evaluations, Router
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.sampler import Sampler
from mixvel_guidance.guidance import ClassifierFree, LevelledClassifierFree
from mixvel_integrators.integrators import DDIM
from mixvel_oracles.labelled import LabelledRouter
from mixvel_routers.integrated import IntegratedRouter, RateAnswer
from mixvel_schedules.schedules import Rectified
from mixvel_selectors.selectors import Mixture

PROBLEM = labelled(Rectified())
SPEEDS = 1.0, -2.0, 0.5


def sampler(router: Router, guidance: ClassifierFree | LevelledClassifierFree, steps: int = 40) -> Sampler:
    return Sampler(
        schedule=PROBLEM.schedule,
        experts=PROBLEM.experts,
        router=router,
        selector=Mixture(),
        integrator=DDIM(),
        steps=steps,
        delta=0.05,
        shape=(4,),
        guidance=guidance,
    )


def drawn(router: Router, guidance: ClassifierFree | LevelledClassifierFree) -> Tensor:
    return sampler(router, guidance).sample(12, condition=classes(12), dtype=torch.float64).x


def rate(x: Tensor, t: Tensor) -> RateAnswer:
    """L = 9 speed t^2."""
    return RateAnswer(log_rate=9.0 * (t**2)[:, None] * x.new_tensor(SPEEDS))


@frozen(kw_only=True)
class InClosedForm:
    """What integration of ``rate`` leads to: log a = log pi + 3 speed (t^3 - 1) and a constant."""

    def start(self, x: Tensor, t: Tensor) -> None:
        return None

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        log_pi = x.new_tensor(PROBLEM.fractions).log()
        return (log_pi + 3.0 * (t**3 - 1.0)[:, None] * x.new_tensor(SPEEDS)).softmax(1), None


@pytest.mark.parametrize(
    "guidance",
    [
        ClassifierFree(scale=3.0, high=0.6),
        ClassifierFree(scale=3.0, low=0.3, high=0.7),
        LevelledClassifierFree(boundaries=(0.3, 0.6), scales=(2.0, 1.0, 3.0)),
    ],
)
def test_a_router_that_integrates_goes_along_where_nothing_is_guided(
    guidance: ClassifierFree | LevelledClassifierFree,
) -> None:
    """By the trapezoid rule on steps of 1/40 weights are right to 1e-3; on one step across the interval by no digit."""
    integrated = IntegratedRouter(rate=rate, fractions=PROBLEM.fractions)
    torch.testing.assert_close(drawn(integrated, guidance), drawn(InClosedForm(), guidance), rtol=0, atol=2e-3)


@frozen(kw_only=True, eq=False)
class Observing(LabelledRouter):
    """Before answers the prior, after them the posterior."""

    def weights(self, x: Tensor, t: Tensor, state: Tensor | None) -> tuple[Tensor, None]:
        prior = x.new_tensor(self.fractions).expand(len(x), -1)
        return (prior if state is None else super().weights(x, t, None)[0]), None

    def observe(self, x: Tensor, t: Tensor, answers: Evaluations, ask: Ask, state: None) -> Tensor:
        return x


@pytest.mark.parametrize("route", ["own", "shared"])
def test_weights_by_answers_are_those_of_the_route(route: str) -> None:
    """With route shared the answers under the condition make the weights of both halves."""
    guidance = ClassifierFree(scale=3.0, route="shared" if route == "shared" else "own")
    observing = Observing(experts=PROBLEM.experts, fractions=PROBLEM.fractions)
    assert torch.equal(drawn(observing, guidance), drawn(PROBLEM.router, guidance))


def test_the_halves_of_a_guidance_are_those_of_each_route_by_hand() -> None:
    x = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    observing = Observing(experts=PROBLEM.experts, fractions=PROBLEM.fractions)
    made = sampler(observing, ClassifierFree(scale=0.0, route="shared"))
    t, condition = x.new_full((6,), 0.4), Condition(values={CLASS: torch.arange(6) % 2})
    field = made.start(x, 1.0, SampleDraws(seed=0, index=torch.arange(6)), condition)
    a, _ = PROBLEM.router.given(condition).weights(x, t, None)
    wanted = torch.einsum("bk,kbd->bd", a, torch.stack([expert.denoise(x, t) for expert in PROBLEM.experts]))
    torch.testing.assert_close(field.denoise(x, 0.4), wanted, rtol=0, atol=1e-12)
