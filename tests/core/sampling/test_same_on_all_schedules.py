"""On grids in the angle a sampler with `pc` does not depend on the schedule: x/sqrt(alpha^2 + sigma^2) ends the same.

VP-linear ends at an angle below that of pure noise, so trajectories begin at that angle, on all three schedules.
"""

from __future__ import annotations

import pytest
import torch
from attrs import evolve, field, frozen
from exact import exact
from torch import Tensor

from mixvel_core.field.angle import angle_at, time_of
from mixvel_core.field.conversions import at_time
from mixvel_core.protocols import NoiseSchedule, SchedulePoint, Selector
from mixvel_core.recipe.grids import Grid
from mixvel_integrators.angle_multistep import AngleMultistep
from mixvel_schedules.schedules import Cosine, Linear, Rectified
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Mixture
from mixvel_selectors.switching import Switching

FIRST = float(angle_at(Linear(), torch.ones((), dtype=torch.float64)))
LAST = 0.05
SELECTORS = [Mixture(), Cached(), Cached(tolerance=0.3), Switching()]
NAMES = ["mixture", "cached", "cached-tolerance", "switching"]


@frozen(kw_only=True)
class Shortened:
    """A schedule up to the angle ``FIRST``, which is its t = 1."""

    whole: NoiseSchedule
    end: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "end", float(time_of(self.whole, torch.tensor(FIRST, dtype=torch.float64))))

    def at(self, t: Tensor) -> SchedulePoint:
        """The point of the schedule at the time ``end`` t."""
        p = self.whole.at(self.end * t)
        return evolve(p, d_alpha=p.d_alpha * self.end, d_sigma=p.d_sigma * self.end)


def ends(selector: Selector, experts: int, grid: Grid, components: int) -> list[Tensor]:
    """Where 12 steps of ``pc`` lead from the same noise on the three schedules, in units of sqrt(alpha^2 + sigma^2)."""
    found = []
    schedules: tuple[NoiseSchedule, ...] = (Linear(), Shortened(whole=Cosine()), Shortened(whole=Rectified()))
    for schedule in schedules:
        problem = exact(schedule, experts=experts, dimension=3, seed=2, components=components)
        delta = float(time_of(schedule, torch.tensor(LAST, dtype=torch.float64)))
        z, draws = problem.start(32)
        scale = [torch.hypot(p.alpha, p.sigma) for p in (at_time(schedule, 1.0), at_time(schedule, delta))]
        x, _ = problem.sampler(selector, AngleMultistep(), 12, delta, grid).trajectory(scale[0] * z, draws)
        found.append(x / scale[1])
    return found


def same(found: list[Tensor]) -> None:
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("experts", range(1, 9))
@pytest.mark.parametrize("selector", SELECTORS, ids=NAMES)
def test_samples_do_not_depend_on_the_schedule(selector: Selector, experts: int) -> None:
    same(ends(selector, experts, "chebyshev", 1))


@pytest.mark.parametrize("grid", ["angle", "angle-quadratic"])
@pytest.mark.parametrize("selector", SELECTORS, ids=NAMES)
def test_nor_do_they_on_the_other_grids_in_the_angle_with_experts_of_two_gaussians(
    selector: Selector, grid: Grid
) -> None:
    same(ends(selector, 4, grid, 2))
