"""References: the ODE's own end, and the paper's thousand DDIM steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve, frozen
from exact import Altered, Exact, exact
from torch import Tensor

from mixvel_core.errors import SamplingError
from mixvel_core.protocols import Router
from mixvel_core.sampling.ode import ddim_reference, reference
from mixvel_integrators.integrators import DDIM
from mixvel_schedules.schedules import Cosine, Rectified
from mixvel_selectors.selectors import Mixture


@pytest.fixture(scope="module")
def problem() -> Exact:
    return exact(Cosine())


def solved(problem: Exact, tolerance: float, count: int = 16, **changed: Any) -> Tensor:
    parts: dict[str, Any] = {
        "schedule": problem.schedule,
        "experts": problem.experts,
        "router": problem.router,
    } | changed
    return reference(problem.start(count)[0], delta=0.05, rtol=tolerance, atol=tolerance, **parts)


def by_ddim(problem: Exact, steps: int, count: int = 16) -> Tensor:
    return ddim_reference(
        problem.start(count)[0],
        schedule=problem.schedule,
        experts=problem.experts,
        router=problem.router,
        delta=0.05,
        steps=steps,
    )


def test_one_gaussian_is_solved_in_closed_form() -> None:
    """x_t = alpha mu + A sqrt(alpha^2 s + sigma^2) A^T x_1, with s and A the eigenvalues and axes of S (D3)."""
    problem = exact(Rectified(), experts=1)
    expert: Any = problem.experts[0]
    x = problem.start(16)[0]
    alpha, sigma = 1 - 0.05, 0.05
    # At t = 1 there is noise only: alpha = 0 and sigma = 1.
    scale = (alpha**2 * expert.variances[0] + sigma**2).sqrt()
    wanted = alpha * expert.means[0] + ((x @ expert.axes[0]) * scale) @ expert.axes[0].T
    torch.testing.assert_close(solved(problem, 1e-10), wanted, rtol=1e-8, atol=1e-8)


def test_tighter_tolerances_come_closer(problem: Exact) -> None:
    exactly = solved(problem, 1e-11)
    errors = [float((solved(problem, tolerance) - exactly).norm(dim=1).max()) for tolerance in (1e-4, 1e-6, 1e-8)]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]
    assert errors[2] < 1e-6


def test_no_point_goes_astray_in_a_large_batch(problem: Exact) -> None:
    """The tolerance is kept by each point, not by the mean over a batch."""
    exactly = solved(problem, 1e-10, count=200)
    errors = (solved(problem, 1e-6, count=200) - exactly).norm(dim=1)
    assert float(errors.max()) < 1e-4


def test_it_stays_between_one_and_delta(problem: Exact) -> None:
    passed: list[float] = []
    solved(problem, 1e-6, on_progress=passed.append)
    assert passed[0] == 0.0
    assert max(passed) == pytest.approx(1.0, abs=1e-12)
    assert max(passed) <= 1.0 + 1e-12


def test_ddim_is_the_samplers_own_with_the_full_mixture(problem: Exact) -> None:
    sampled, _ = problem.run(Mixture(), DDIM(), 50, count=16)
    torch.testing.assert_close(by_ddim(problem, 50), sampled, rtol=1e-12, atol=1e-12)


@frozen(kw_only=True)
class Counting:
    """A router with a state that is counted up."""

    router: Router

    def start(self, x: Tensor, t: Tensor) -> int:
        return 0

    def weights(self, x: Tensor, t: Tensor, state: int) -> tuple[Tensor, int]:
        return self.router.weights(x, t, None)[0], state + 1


def test_dopri5_refuses_a_router_with_a_state_and_ddim_takes_it(problem: Exact) -> None:
    router = Counting(router=problem.router)
    with pytest.raises(SamplingError, match=r"router with a state.*ddim-1000"):
        solved(problem, 1e-6, router=router)
    stated = evolve(problem, router=router)  # type: ignore[arg-type]  # any router will do here
    torch.testing.assert_close(by_ddim(stated, 20), by_ddim(problem, 20), rtol=0, atol=0)


@pytest.mark.parametrize("factor", [lambda t: float("nan"), lambda t: 1 + 1e-3 * (hash(t) % 1000)])
def test_a_field_that_cannot_be_followed_is_said_so(
    problem: Exact, monkeypatch: pytest.MonkeyPatch, factor: Any
) -> None:
    monkeypatch.setattr("mixvel_core.sampling.ode.MOST_STEPS", 50)
    experts = tuple(Altered(expert=expert, change=lambda m, t: m * factor(t)) for expert in problem.experts)
    with pytest.raises(SamplingError, match=r"does not reach tolerance 1e-06.*ddim-1000"):
        solved(problem, 1e-6, experts=experts)
