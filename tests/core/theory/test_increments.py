"""The error budget: its parts sum to the increment, and each is what its name says."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from exact import Exact, all_schedules, exact
from torch import Tensor

from mixvel_core.field.conversions import at_time, velocity
from mixvel_core.protocols import Integrator, Selector
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.grid import time_grid
from mixvel_core.sampling.ode import flow
from mixvel_core.sampling.routed_field import RoutedField, start_field
from mixvel_core.sampling.weights import AS_THEY_ARE
from mixvel_core.theory.exact import ApproximateMixture, ExactField
from mixvel_core.theory.increments import Increment, exact_steps, increments
from mixvel_integrators.integrators import DDIM, Euler, Heun, Multistep
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Iid, Mixture, SumUp
from mixvel_selectors.switching import Switching

DELTA = 0.05
SELECTORS: dict[str, Selector] = {
    "mixture": Mixture(),
    "iid": Iid(),
    "sum-up": SumUp(),
    "cached": Cached(),
    "switching": Switching(),
}
INTEGRATORS: dict[str, Integrator] = {"euler": Euler(), "ddim": DDIM(), "heun": Heun(), "2m": Multistep()}


class Off:
    """A router that is wrong by a known shift of weights."""

    def __init__(self, problem: Exact, shift: float) -> None:
        self.problem, self.shift = problem, shift

    def start(self, x: Tensor, t: Tensor) -> None:
        """No state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        """Moved towards uniform."""
        a, _ = self.problem.router.weights(x, t, None)
        return (1 - self.shift) * a + self.shift / a.shape[1], None


def steps_of(
    problem: Exact,
    selector: Selector,
    integrator: Integrator,
    steps: int,
    *,
    count: int = 8,
    shift: float = 0.0,
    x: Tensor | None = None,
    seed: int = 0,
    tolerance: float = 1e-8,
) -> list[Increment]:
    start, draws = problem.start(count)
    x = start if x is None else x
    draws = SampleDraws(seed=seed, index=torch.arange(len(x)))
    times = time_grid("uniform", problem.schedule, steps, DELTA)
    field = ExactField(exact=problem.law)
    path = flow(field.denoise, x, schedule=problem.schedule, times=times, rtol=tolerance, atol=tolerance)
    router = Off(problem, shift) if shift else problem.router
    selected: RoutedField = start_field(
        schedule=problem.schedule, experts=problem.experts, router=router, selector=selector, x=x, t=1.0, draws=draws
    )
    state = router.start(x, x.new_ones(len(x)))
    mixture = ApproximateMixture(
        schedule=problem.schedule, experts=problem.experts, router=router, weights=AS_THEY_ARE, state=state
    )
    return list(
        increments(
            integrator=integrator,
            times=times,
            path=path,
            along=exact_steps(integrator=integrator, times=times, path=path, exact=field),
            selected=selected,
            mixture=mixture if shift else field,
            exact=field,
        )
    )


@pytest.mark.parametrize(
    ("schedule", "integrator", "selector"),
    [
        *(("vp-cosine", integrator, selector) for integrator in INTEGRATORS for selector in SELECTORS),
        ("vp-linear", "euler", "iid"),
        ("ddpm-table", "2m", "iid"),
        ("rectified", "heun", "cached"),
    ],
)
def test_the_parts_sum_to_the_increment(schedule: str, integrator: str, selector: str) -> None:
    problem = exact(all_schedules()[schedule], experts=3, dimension=2)
    # The identity holds beside any path: a loose one will do.
    found = steps_of(problem, SELECTORS[selector], INTEGRATORS[integrator], 6, shift=0.1, tolerance=1e-3)
    for one in found:
        torch.testing.assert_close(sum(one.parts), one.after - one.before, rtol=0, atol=1e-8)
    # One trajectory, whose error is what the parts add up to.
    for one, following in pairwise(found):
        assert torch.equal(one.after, following.before)
    total = torch.stack([part for one in found for part in one.parts]).sum(0)
    torch.testing.assert_close(total, found[-1].after, rtol=0, atol=1e-8)
    assert float(found[0].before.norm()) == 0.0


def test_they_are_the_parts_of_the_sampler_s_own_trajectory() -> None:
    problem = exact(Cosine(), experts=3, dimension=2)
    found = steps_of(problem, Iid(), Euler(), 10)
    ends, _ = problem.run(Iid(), Euler(), 10, delta=DELTA, count=8)
    torch.testing.assert_close(ends - problem.exact(delta=DELTA, count=8), found[-1].after, rtol=0, atol=1e-6)


def test_with_euler_they_are_the_paper_s() -> None:
    problem = exact(Cosine(), experts=3, dimension=2)
    field = ExactField(exact=problem.law)
    for one in steps_of(problem, Iid(), Euler(), 10, shift=0.2):
        h, p, y = one.t - one.s, at_time(problem.schedule, one.t), one.x - one.before
        now = torch.full((8,), one.t, dtype=torch.float64)
        torch.testing.assert_close(one.drift, h * (field.v(y, now) - field.v(one.x, now)), rtol=0, atol=1e-10)
        a, _ = Off(problem, 0.2).weights(one.x, now, None)
        m_k = torch.stack([expert.denoise(one.x, now) for expert in problem.experts], dim=1)
        M = torch.einsum("bk,bkd->bd", a, m_k)
        apart = velocity(M, one.x, p) - field.v(one.x, now)
        torch.testing.assert_close(one.network, -h * apart, rtol=0, atol=1e-10)
        # The selected velocity is one expert's: the selection part is one of K vectors.
        choices = -h * torch.stack([velocity(m_k[:, k], one.x, p) - velocity(M, one.x, p) for k in range(3)], dim=1)
        nearest = (choices - one.selection[:, None]).norm(dim=2).amin(1)
        assert float(nearest.max()) < 1e-10


def test_what_is_not_there_is_zero() -> None:
    problem = exact(Cosine(), experts=3, dimension=2)
    for one in steps_of(problem, Mixture(), Heun(), 6):
        assert float(one.network.abs().max()) == 0.0
        assert float(one.selection.abs().max()) < 1e-12
    assert max(float(one.network.norm()) for one in steps_of(problem, Mixture(), Euler(), 6, shift=0.3)) > 1e-3


def test_drawn_experts_are_a_martingale() -> None:
    """From one point the mean of the selection part over many draws is zero; that of sum-up is not random at all."""
    problem = exact(Cosine(), experts=3, dimension=2)
    x = problem.start(1, seed=3)[0].expand(4000, 2)
    drawn = steps_of(problem, Iid(), Euler(), 3, x=x, seed=1, tolerance=1e-3)[0].selection
    error = drawn.std(0) / 4000**0.5
    assert bool((drawn.mean(0).abs() < 4 * error).all())
    assert float(error.min()) > 0


def test_truncation_falls_with_the_square_of_the_step() -> None:
    problem = exact(Cosine(), experts=3, dimension=2)
    sizes = []
    for steps in (40, 80):
        found = steps_of(problem, Mixture(), Euler(), steps)
        sizes.append(float(torch.stack([one.truncation.norm(dim=1) for one in found]).max(0).values.median()))
    assert sizes[0] / sizes[1] == pytest.approx(4.0, rel=0.2)
