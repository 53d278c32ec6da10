"""The router `noise-levels`: which expert has which times, and how weights pass between them."""

from __future__ import annotations

import pytest
import torch
from gaussian_shards import slanted_shard
from hypothesis import given
from hypothesis import strategies as st

from mixvel_core.errors import RecipeError
from mixvel_core.recipe.build import build
from mixvel_routers.closed_form_options import NoiseLevelsOptions
from mixvel_routers.noise_levels import NoiseLevelsFamily, NoiseLevelsRouter


def weights(router: NoiseLevelsRouter, *times: float) -> list[list[float]]:
    a, _ = router.weights(torch.zeros(len(times), 2, dtype=torch.float64), torch.tensor(times), None)
    return [[round(value, 6) for value in row] for row in a.tolist()]


def test_the_first_expert_has_the_times_nearest_data() -> None:
    sharp = NoiseLevelsRouter(boundaries=(0.3, 0.7), width=0.0)
    assert weights(sharp, 0.0, 0.29, 0.31, 0.69, 0.71, 1.0) == [
        [1, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
        [0, 1, 0],
        [0, 0, 1],
        [0, 0, 1],
    ]


def test_over_the_width_weights_pass_linearly() -> None:
    soft = NoiseLevelsRouter(boundaries=(0.3, 0.7), width=0.2)
    assert weights(soft, 0.2, 0.25, 0.3, 0.4, 0.65) == [
        [1, 0, 0],
        [0.75, 0.25, 0],
        [0.5, 0.5, 0],
        [0, 1, 0],
        [0, 0.75, 0.25],
    ]


@given(t=st.floats(0, 1), width=st.floats(0, 0.2))
def test_weights_are_on_the_simplex(t: float, width: float) -> None:
    [row] = weights(NoiseLevelsRouter(boundaries=(0.2, 0.5, 0.9), width=width), t)
    assert min(row) >= 0
    assert sum(row) == pytest.approx(1.0, abs=1e-5)


def test_as_many_experts_as_intervals() -> None:
    with pytest.raises(RecipeError, match="2 boundaries are for 3 experts, and there are 2"):
        NoiseLevelsFamily(boundaries=(0.3, 0.7)).check([slanted_shard(k) for k in range(2)])
    with pytest.raises(RecipeError, match=r"width: 0.5 is more than two boundaries are apart"):
        build("router", "noise-levels", {"boundaries": [0.3, 0.7], "width": 0.5})


@pytest.mark.parametrize("entry", range(1, 100))
def test_in_float32_a_time_that_is_a_boundary_stays_one(entry: int) -> None:
    router = NoiseLevelsRouter(boundaries=(entry / 100,), width=0.0)
    a, _ = router.weights(torch.zeros(1, 2), torch.tensor([entry / 100], dtype=torch.float32), None)
    assert a.tolist() == [[0.0, 1.0]]


def test_boundaries_that_are_left_open_are_the_experts_own() -> None:
    options = NoiseLevelsOptions(width=0.1)
    assert options.at_levels((0.4,)).boundaries == (0.4,)
    assert NoiseLevelsOptions(boundaries=(0.4,)).at_levels(None).boundaries == (0.4,)
    with pytest.raises(ValueError, match="left open, and the experts have none of their own"):
        options.at_levels(None)
    with pytest.raises(ValueError, match=r"\[0.5\], and those of the experts are \[0.4\]; leave them out"):
        NoiseLevelsOptions(boundaries=(0.5,)).at_levels((0.4,))
    with pytest.raises(RecipeError, match="router noise-levels: boundaries are left open; give the times"):
        build("router", "noise-levels").tensors([slanted_shard(k) for k in range(2)], {})
