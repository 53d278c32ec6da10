"""Conditional experts of a schedule that ends before the sampler's: their class has a mean of its own there."""

from __future__ import annotations

import math
from typing import Self

import pytest
import torch
from attrs import evolve, frozen
from labelled import CLASSES, classes, labelled
from torch import Tensor

from mixvel_core.protocols import CLASS, Condition, Expert, Moments, NoiseSchedule
from mixvel_core.sampling.dispatch import members
from mixvel_core.sampling.sampler import Sampler
from mixvel_core.sampling.snr_matched import all_snr_matched
from mixvel_guidance.guidance import ClassifierFree
from mixvel_integrators.integrators import DDIM
from mixvel_oracles.labelled import LabelledExpert
from mixvel_schedules.schedules import Linear, Rectified
from mixvel_selectors.selectors import Mixture

SAMPLER = Rectified()
WANTED = labelled(SAMPLER)


@frozen(kw_only=True, eq=False)
class Group:
    """Labelled experts as one group."""

    experts: tuple[LabelledExpert, ...]
    condition: Condition | None = None

    @property
    def schedule(self) -> NoiseSchedule:
        return self.experts[0].schedule

    @property
    def null(self) -> Condition:
        return self.experts[0].null

    def moments(self, k: int) -> Moments | None:
        return self.experts[k].moments

    def given(self, condition: Condition) -> Self:
        return evolve(self, condition=condition)

    def denoise(self, x: Tensor, t: Tensor, k: Tensor) -> Tensor:
        m = torch.empty_like(x)
        for index, expert in enumerate(self.experts):
            rows = (k == index).nonzero()[:, 0]
            made = expert if self.condition is None else expert.given(self.condition.rows(rows))
            m[rows] = made.denoise(x[rows], t[rows])
        return m


def ending_at(alpha: float, *, grouped: bool = False) -> tuple[Expert, ...]:
    """The experts under a schedule whose last alpha is about this one."""
    experts = labelled(Linear(beta_min=0.1, beta_max=-4 * math.log(alpha) - 0.1)).experts
    return members(Group(experts=experts), len(experts)) if grouped else experts


@pytest.mark.parametrize("grouped", [False, True])
def test_under_a_class_the_error_beyond_the_noisiest_time_is_of_first_order_in_the_last_alpha(grouped: bool) -> None:
    """The mean of the shard is none of the class; rows of the null condition have the shard's mean, and no error."""
    x = torch.randn(12, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    one, null = x.new_ones(12), torch.arange(12) % 3 == 0
    labels = (torch.arange(12) % CLASSES).masked_fill(null, CLASSES)
    condition = Condition(values={CLASS: labels})
    wanted = WANTED.experts[1].given(condition).denoise(x, one)
    errors = []
    for alpha in (0.02, 0.01):
        matched = all_snr_matched(ending_at(alpha, grouped=grouped), SAMPLER)[1]
        got = matched.given(condition).denoise(x, one)  # type: ignore[attr-defined]  # a labelled expert's has it
        torch.testing.assert_close(got[null], wanted[null], rtol=0, atol=1e-13)
        errors.append(float((got - wanted).norm(dim=1).max()))
    assert errors[0] < 0.1
    assert abs(errors[1] / errors[0] - 0.5) < 0.05


@pytest.mark.parametrize("guidance", [None, ClassifierFree(scale=3.0)])
@pytest.mark.parametrize("grouped", [False, True])
def test_samples_of_classes_end_where_experts_of_the_samplers_schedule_lead(
    grouped: bool, guidance: ClassifierFree | None
) -> None:
    sampler = Sampler(
        schedule=SAMPLER,
        experts=WANTED.experts,
        router=WANTED.router,
        selector=Mixture(),
        integrator=DDIM(),
        steps=10,
        delta=0.05,
        shape=(4,),
        guidance=guidance,
    )
    other = evolve(sampler, experts=ending_at(0.0066, grouped=grouped))
    found, wanted = (one.sample(12, condition=classes(12), dtype=torch.float64).x for one in (other, sampler))
    torch.testing.assert_close(found, wanted, rtol=0, atol=5e-3)
