"""`pc`: its integrals, DDIM as its first order, measured orders, and the same samples on every schedule."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from exact import exact
from scipy.integrate import quad

from mixvel_core.field.angle import angle_at, time_of
from mixvel_core.protocols import NoiseSchedule
from mixvel_integrators.angle_multistep import AngleMultistep, lagrange_integrals
from mixvel_integrators.integrators import DDIM
from mixvel_schedules.schedules import Cosine, Linear, Rectified
from mixvel_selectors.selectors import Mixture
from mixvel_selectors.switching import Switching


@pytest.mark.parametrize(("start", "end"), [(1.2, 0.9), (0.3, 0.05), (math.pi / 2, 1.4), (0.05, 0.0016)])
def test_integrals_of_lagrange_polynomials(start: float, end: float) -> None:
    nodes = [start, start + 0.1, start + 0.25]
    found = lagrange_integrals(nodes, start, end)
    assert sum(found) == pytest.approx(1 / math.tan(end) - 1 / math.tan(start), rel=1e-12)

    def integrand(w: float, i: int) -> float:
        theta = math.exp(w)
        others = [b for j, b in enumerate(nodes) if j != i]
        return math.prod((theta - b) / (nodes[i] - b) for b in others) * theta / math.sin(theta) ** 2

    expected = [quad(integrand, math.log(end), math.log(start), args=(i,), epsrel=1e-12)[0] for i in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_one_node_without_corrector_is_ddim() -> None:
    problem = exact(Cosine(), experts=3, dimension=3)
    [(x, _), (y, _)] = [
        problem.run(Mixture(), integrator, 7) for integrator in (AngleMultistep(predictor=1, corrector=0), DDIM())
    ]
    torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("predictor", "corrector", "order"), [(1, 0, 1), (2, 0, 2), (1, 2, 2), (2, 3, 3), (3, 3, 3)])
def test_measured_orders(predictor: int, corrector: int, order: int) -> None:
    problem = exact(Cosine(), experts=3, dimension=3, seed=1)
    integrator = AngleMultistep(predictor=predictor, corrector=corrector)
    assert integrator.order == order
    end, steps = problem.exact(count=64), (80, 160, 320)
    errors = [(problem.run(Mixture(), integrator, n, count=64)[0] - end).norm(dim=1).median() for n in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert -slope >= order - 0.2


def test_samples_do_not_depend_on_the_schedule() -> None:
    """On angle grids the sampler is a function of the angle: x/sqrt(alpha^2 + sigma^2) at equal angles is the same."""
    last = 0.1
    ends = []
    schedules: tuple[NoiseSchedule, ...] = (Cosine(), Rectified())
    for schedule in schedules:
        problem = exact(schedule, experts=4, dimension=3, seed=2)
        delta = float(time_of(schedule, torch.tensor(last, dtype=torch.float64)))
        for selector in (Mixture(), Switching()):
            sampler = problem.sampler(selector, AngleMultistep(), 12, delta, "chebyshev")
            x, _ = sampler.trajectory(*problem.start(32))
            p = schedule.at(torch.tensor(delta, dtype=torch.float64))
            ends.append(x / torch.hypot(p.alpha, p.sigma))
    torch.testing.assert_close(ends[0], ends[2], rtol=0, atol=1e-5)
    torch.testing.assert_close(ends[1], ends[3], rtol=0, atol=1e-5)


def test_a_last_step_to_clean_data_holds_the_denoiser() -> None:
    problem = exact(Linear(), experts=2, dimension=2)
    x, _ = problem.run(Mixture(), AngleMultistep(), 6, delta=0.0)
    assert bool(x.isfinite().all())
    assert float(angle_at(Linear(), torch.zeros((), dtype=torch.float64))) == 0.0
