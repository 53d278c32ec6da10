"""`switching`: unbiased given its memory, exact where nothing is random, and far less noisy than the paper's draw."""

from __future__ import annotations

import pytest
import torch
from exact import exact

from mixvel_core.protocols import Evaluations, Integrator, Prior
from mixvel_core.sampling.draws import SampleDraws
from mixvel_integrators.angle_multistep import AngleMultistep
from mixvel_integrators.integrators import DDIM, Heun
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.selectors import Iid, Mixture
from mixvel_selectors.switching import Switching

K, D, COUNT = 4, 3, 40_000


@pytest.mark.parametrize("importance", [0.0, 1.0, 2.0])
def test_it_is_unbiased_given_its_memory(importance: float) -> None:
    generator = torch.Generator().manual_seed(0)
    prior = Prior(
        mean=torch.randn(K, D, generator=generator, dtype=torch.float64),
        variance=torch.ones(K, D, dtype=torch.float64),
    )
    m = torch.randn(K, D, generator=generator, dtype=torch.float64)
    x = torch.randn(1, D, generator=generator, dtype=torch.float64).expand(COUNT, D)
    a = torch.tensor([[0.5, 0.3, 0.15, 0.05]], dtype=torch.float64).expand(COUNT, K)
    selector = Switching(importance=importance)
    state = selector.start(x, Cosine(), prior, SampleDraws(seed=1, index=torch.arange(COUNT)))
    for t in (0.9, 0.7, 0.6):
        mask, state = selector.select(x, t, a, state)
        sample, expert = mask.nonzero(as_tuple=True)
        assert int(mask.sum()) == COUNT
        M, state = selector.combine(x, t, a, Evaluations(sample=sample, expert=expert, m=m[expert]), state)
    error = M - a[:1] @ m
    # Five standard errors of the mean of independent draws.
    assert bool((error.mean(0).abs() < 5 * error.std(0) / COUNT**0.5).all())


@pytest.mark.parametrize("integrator", [DDIM(), Heun(), AngleMultistep()], ids=["ddim", "heun", "pc"])
def test_without_memory_it_is_the_papers_draw_bit_for_bit(integrator: Integrator) -> None:
    problem = exact(Cosine(), experts=5, dimension=4)
    forgetful = Switching(memory=False, importance=2.0, mixing=0.1)
    expected, usual = problem.run(Iid(), integrator, 9, count=40)
    got, field = problem.run(forgetful, integrator, 9, count=40)
    assert torch.equal(got, expected)
    assert torch.equal(torch.stack(field.usage), torch.stack(usual.usage))


def test_one_expert_and_equal_experts_leave_nothing_random() -> None:
    one = exact(Cosine(), experts=1, dimension=3)
    torch.testing.assert_close(one.run(Switching(), DDIM(), 6)[0], one.run(Mixture(), DDIM(), 6)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [20, 40])
def test_its_error_is_far_below_that_of_the_papers_draw(steps: int) -> None:
    problem = exact(Cosine(), experts=8, dimension=16, seed=0)
    end = problem.exact(count=128)
    [drawn, reduced] = [
        float((problem.run(selector, AngleMultistep(), steps, count=128)[0] - end).norm(dim=1).median())
        for selector in (Iid(), Switching())
    ]
    assert reduced < drawn / 20
    assert problem.run(Switching(), DDIM(), 5)[1].evaluations.tolist() == [5] * 100


@pytest.mark.parametrize("importance", [1e4, 1e9])
def test_powers_of_age_of_any_size_leave_the_draw_to_the_oldest(importance: float) -> None:
    a = torch.full((50, K), 1 / K, dtype=torch.float64)
    x = torch.zeros(50, D, dtype=torch.float64)
    prior = Prior(mean=torch.zeros(K, D, dtype=torch.float64), variance=torch.ones(K, D, dtype=torch.float64))
    selector = Switching(importance=importance, mixing=1e-9)
    state = selector.start(x, Cosine(), prior, SampleDraws(seed=1, index=torch.arange(50)))
    asked = torch.zeros_like(a)
    for t in (1.0, 0.9, 0.8, 0.02):
        mask, state = selector.select(x, t, a, state)
        sample, expert = mask.nonzero(as_tuple=True)
        M, state = selector.combine(x, t, a, Evaluations(sample=sample, expert=expert, m=x + 1), state)
        assert bool(M.isfinite().all())
        asked += mask
    # The first at t = 1 keeps its age, so the three that follow are drawn among all; nobody is asked at once again.
    assert int(asked.max()) <= 2
    assert bool((asked.sum(1) == 4).all())
