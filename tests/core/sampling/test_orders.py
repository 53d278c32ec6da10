"""Measured orders on the Gaussian-mixture oracle, in the asymptotic range, to +-0.2, and how near one expert
a step comes to all of them: small versions of docs/benchmarks.md."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exact import Exact, exact

from mixvel_core.protocols import Integrator, NoiseSchedule, Selector
from mixvel_integrators.integrators import DDIM, Euler, Heun, Multistep
from mixvel_schedules.schedules import Cosine, Linear, Rectified
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Iid, Mixture, Nucleus, SumUp

INTEGRATORS: dict[str, Integrator] = {"euler": Euler(), "ddim": DDIM(), "heun": Heun(), "2m": Multistep()}
SCHEDULES: dict[str, NoiseSchedule] = {"linear": Linear(), "cosine": Cosine(), "rectified": Rectified()}


def slope(schedule: NoiseSchedule, selector: Selector, integrator: Integrator, steps: list[int], count: int) -> float:
    problem = exact(schedule)
    end = problem.exact(count=count)
    errors = [float((problem.run(selector, integrator, n, count=count)[0] - end).norm(dim=1).median()) for n in steps]
    return float(-np.polyfit(np.log(steps), np.log(errors), 1)[0])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_the_declared_order_is_measured_with_the_full_mixture(schedule: str, integrator: str) -> None:
    method = INTEGRATORS[integrator]
    measured = slope(SCHEDULES[schedule], Mixture(), method, [80, 160, 320], count=60)
    assert measured == pytest.approx(method.order, abs=0.2)


@pytest.mark.parametrize("schedule", ["cosine", "rectified"])
def test_random_selection_converges_like_the_root_of_the_step(schedule: str) -> None:
    measured = slope(SCHEDULES[schedule], Iid(), Euler(), [80, 160, 320, 640], count=300)
    assert measured == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_declared_evaluations_are_what_a_step_costs(integrator: str) -> None:
    method = INTEGRATORS[integrator]
    _, field = exact(Cosine()).run(Mixture(), method, 7, count=3)
    assert len(field.times) == 7 * method.evaluations
    assert torch.equal(field.evaluations, torch.full((3,), 4 * 7 * method.evaluations))


@pytest.mark.parametrize("integrator", ["ddim", "2m", "heun"])
def test_ending_at_clean_data_is_finite_and_near_the_end_a_little_before(integrator: str) -> None:
    problem = exact(Cosine())
    clean, _ = problem.run(Mixture(), INTEGRATORS[integrator], 200, delta=0.0, count=40)
    nearly, _ = problem.run(Mixture(), INTEGRATORS[integrator], 200, delta=1e-3, count=40)
    assert float((clean - nearly).norm(dim=1).median()) < 0.02


def test_the_last_steps_of_2m_span_most_of_log_snr_and_do_no_harm() -> None:
    """The bare formula carries the slope of short steps across them: its error here is 0.28, that of DDIM 0.14."""
    problem = exact(Cosine(), experts=8, dimension=16)
    end = problem.exact(delta=1e-3, count=COUNT)
    ddim, second = (
        float((problem.run(Mixture(), method, 20, delta=1e-3, count=COUNT)[0] - end).norm(dim=1).median())
        for method in (DDIM(), Multistep())
    )
    assert second < 0.04
    assert second < 0.5 * ddim


def test_rectified_euler_is_ddim() -> None:
    """On alpha = 1 - t, sigma = t the exponential step and the plain one are the same formula."""
    problem = exact(Rectified())
    ddim, euler = (problem.run(Mixture(), method, 9, count=20)[0] for method in (DDIM(), Euler()))
    torch.testing.assert_close(ddim, euler, rtol=1e-12, atol=1e-12)


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
    assert nucleus >= 7 * cached
