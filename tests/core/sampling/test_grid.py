"""Time grids: their ends, their order, and the variable in which each is uniform."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from exact import all_schedules
from hypothesis import given, settings
from hypothesis import strategies as st

from mixvel_core.errors import UsageError
from mixvel_core.recipe.grids import Grid, ShiftedGrid
from mixvel_core.sampling.grid import time_grid
from mixvel_schedules.schedules import Cosine, Linear, Rectified

SCHEDULES = all_schedules()
SHIFT = ShiftedGrid(shift=3.0)
NAMES: list[Grid] = ["uniform", "logsnr", "quadratic", "karras", "angle", "angle-quadratic", "chebyshev"]


@settings(max_examples=60, deadline=None)
@given(
    grid=st.sampled_from([*NAMES, SHIFT]),
    name=st.sampled_from(sorted(SCHEDULES)),
    steps=st.integers(1, 200),
    delta=st.one_of(st.just(0.0), st.floats(1e-3, 0.5)),
)
def test_a_grid_falls_strictly_from_one_to_delta(grid: Grid, name: str, steps: int, delta: float) -> None:
    times = time_grid(grid, SCHEDULES[name], steps, delta)
    assert len(times) == steps + 1
    assert times[0] == 1.0
    assert times[-1] == delta
    assert all(a > b for a, b in pairwise(times))


@pytest.mark.parametrize(
    ("grid", "even"),
    [
        ("uniform", lambda p, t: t),
        ("quadratic", lambda p, t: t.sqrt()),
        ("logsnr", lambda p, t: (p.alpha / p.sigma).log()),
        ("karras", lambda p, t: (p.sigma / p.alpha) ** (1 / 7)),
        ("angle", lambda p, t: (p.sigma / p.alpha).atan()),
        ("angle-quadratic", lambda p, t: (p.sigma / p.alpha).atan().sqrt()),
    ],
)
def test_each_grid_is_even_in_its_own_variable(grid: Grid, even: object) -> None:
    t = torch.tensor(time_grid(grid, Linear(), 12, 0.02), dtype=torch.float64)
    # The linear schedule's lambda(1) = -5.02 lies just below the lowest laid-out value, so t = 1 is left out.
    value = even(Linear().at(t), t)[1:]  # type: ignore[operator]  # the functions above
    gaps = value.diff()
    torch.testing.assert_close(gaps, gaps.mean().expand_as(gaps), rtol=1e-9, atol=1e-9)


def test_chebyshev_points_are_those_of_the_cosine_schedule() -> None:
    """There theta = pi t / 2, so t_i = 1 - (1 - delta) (1 - cos(pi i / N)) / 2."""
    times = time_grid("chebyshev", Cosine(), 8, 0.01)
    expected = [1 - (1 - 0.01) * (1 - math.cos(math.pi * i / 8)) / 2 for i in range(9)]
    assert times == pytest.approx(expected, abs=1e-12)


def test_a_shifted_grid_multiplies_the_noise_to_data_ratio_of_rectified() -> None:
    plain, moved = time_grid("uniform", Rectified(), 9, 0.1), time_grid(SHIFT, Rectified(), 9, 0.25)
    ratio = [[t / (1 - t) for t in times[1:]] for times in (plain, moved)]
    assert ratio[1] == pytest.approx([3 * r for r in ratio[0]], rel=1e-12)
    assert time_grid(ShiftedGrid(shift=1.0), Cosine(), 9, 0.1) == pytest.approx(time_grid("uniform", Cosine(), 9, 0.1))


def test_times_stand_as_they_are_given() -> None:
    assert time_grid((1.0, 0.7, 0.2, 0.01), Cosine(), 3, 0.01) == [1.0, 0.7, 0.2, 0.01]
    for times, words in (
        ((1.0, 0.5, 0.01), "3 times are those of 2 steps, not of 3"),
        ((1.0, 0.5, 0.6, 0.01), "must fall from 1 to delta"),
        ((1.0, 0.5, 0.2, 0.1), "give 0.01 as the last"),
    ):
        with pytest.raises(UsageError, match=words):
            time_grid(times, Cosine(), 3, 0.01)


@pytest.mark.parametrize("grid", ["logsnr", "karras"])
def test_a_delta_in_the_noise_before_a_grids_first_time_is_refused(grid: Grid) -> None:
    with pytest.raises(UsageError, match=f"grid {grid}: 4 steps to delta 0.999 do not fall"):
        time_grid(grid, Cosine(), 4, 0.999)


def test_times_of_another_number_of_steps_name_the_number_that_fits() -> None:
    with pytest.raises(UsageError, match=r"grid: 3 times are those of 2 steps, not of 4; set steps to 2$"):
        time_grid((1.0, 0.5, 0.01), Cosine(), 4, 0.01)
