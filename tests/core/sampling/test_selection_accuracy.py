"""How near one expert a step comes to all of them: small versions of what docs/benchmarks.md states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exact import Exact, exact

from mixvel_core.protocols import Integrator, NoiseSchedule, Selector
from mixvel_integrators.integrators import Euler, Multistep
from mixvel_schedules.schedules import Cosine, Linear
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Iid, Mixture, Nucleus, SumUp

COUNT = 40


def median_error(
    problem: Exact, end: torch.Tensor, selector: Selector, integrator: Integrator, steps: int
) -> tuple[float, float]:
    """The median distance to the exact end, and the mean number of expert evaluations."""
    x, field = problem.run(selector, integrator, steps, count=COUNT)
    return float((x - end).norm(dim=1).median()), float(field.evaluations.double().mean())


@pytest.mark.parametrize(("experts", "steps", "ratio"), [(4, 40, 1.3), (8, 40, 1.3), (16, 40, 2.0), (64, 20, 5.0)])
@pytest.mark.parametrize("schedule", [Cosine(), Linear()], ids=["cosine", "linear"])
def test_one_expert_a_step_is_near_all_of_them(schedule: NoiseSchedule, experts: int, steps: int, ratio: float) -> None:
    problem = exact(schedule, experts=experts, dimension=16, seed=1)
    end = problem.exact(count=COUNT)
    all_of_them, _ = median_error(problem, end, Mixture(), Multistep(), steps)
    one, cost = median_error(problem, end, Cached(), Multistep(), steps)
    assert cost == steps
    assert one <= ratio * all_of_them


def test_orders_of_the_selectors() -> None:
    problem = exact(Cosine(), experts=8, dimension=16, seed=1)
    end = problem.exact(count=COUNT)
    for selector, integrator, least in ((Cached(), Multistep(), 1.5), (SumUp(), Euler(), 0.9)):
        steps = [80, 160, 320]
        errors = [median_error(problem, end, selector, integrator, n)[0] for n in steps]
        assert -np.polyfit(np.log(steps), np.log(errors), 1)[0] >= least


def test_at_equal_evaluations_the_others_are_far_behind() -> None:
    problem = exact(Cosine(), experts=8, dimension=16, seed=1)
    end = problem.exact(count=COUNT)
    cached, cost = median_error(problem, end, Cached(), Multistep(), 80)
    assert cost == 80
    assert median_error(problem, end, Mixture(), Multistep(), 10)[0] >= 10 * cached
    assert median_error(problem, end, Iid(), Euler(), 80)[0] >= 10 * cached
    # As many steps as 80 evaluations pay for.
    nucleus, nucleus_cost = median_error(problem, end, Nucleus(mass=0.99), Multistep(), 20)
    assert nucleus_cost == pytest.approx(80, rel=0.1)
    assert nucleus >= 10 * cached
