"""W_2 with an interval and a floor: known distances, coverage, what pairs of sets from one noise give."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from mixvel_core.field.transport import solved, transport, wasserstein_2


def normals(n: int, seed: int, dimension: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dimension))


def test_a_translation_is_carried_along() -> None:
    x = normals(50, 0)
    found = transport(x, x[::-1] + np.array([3.0, 4.0]))
    assert found.value == pytest.approx(5.0, rel=1e-12)
    assert (found.kind, found.n) == ("exact", (50, 50))
    assert found.low <= 5.0 <= found.high


def test_a_set_is_at_no_distance_from_itself() -> None:
    x = normals(40, 1, 5).reshape(40, 1, 5)
    found = transport(x, x)
    assert found.value == 0.0
    assert found.high < 1e-6
    assert wasserstein_2(x[:, 0], x[:, 0]) == 0.0


def test_the_interval_covers_the_mean_distance_of_such_sets() -> None:
    """Between N(0, 1) and N(1, 4) on the line: sqrt(1 + 1), which sets of 150 overrate by little."""
    found = [transport(normals(150, s, 1), 1 + 2 * normals(150, 1000 + s, 1), seed=s) for s in range(60)]
    mean = float(np.sqrt(np.mean([f.value**2 for f in found])))
    assert mean == pytest.approx(np.sqrt(2), rel=0.03)
    covered = sum(f.low <= mean <= f.high for f in found)
    assert covered >= 50
    assert np.mean([f.high - f.low for f in found]) < 0.6


def test_more_points_than_asked_for_are_sliced() -> None:
    """Along a unit vector u the distance is u.shift, of mean square ||shift||^2 / D."""
    x = normals(300, 2, 4)
    for y in (x + 1.0, np.concatenate([x, x]) + 1.0):
        found = transport(x, y, exact_up_to=100, seed=3)
        assert found.kind == "sliced"
        assert found.low <= 1.0 <= found.high
        assert found.value == pytest.approx(1.0, rel=0.08)
    # Never above W_2 / sqrt(D), and of another scale: which one it is stands beside it.
    assert transport(x, x * 2, exact_up_to=100).value <= transport(x, x * 2).value / 2 * 1.15


def test_slices_of_sets_of_different_sizes_follow_the_quantiles() -> None:
    x, y = np.array([[0.0], [1.0], [2.0]]), np.array([[0.0], [2.0]])
    # Thirds against halves: between 1/3 and 1/2 the point 1 goes to 0, between 1/2 and 2/3 to 2.
    assert transport(x, y, exact_up_to=1).value == pytest.approx(np.sqrt(1 / 3))
    assert wasserstein_2(x, y) == pytest.approx(np.sqrt(1 / 3))


def test_independent_sets_of_one_law_keep_a_floor_that_paired_ones_do_not_have() -> None:
    x, y = normals(200, 3, 3), normals(200, 4, 3)
    floor = transport(x, y)
    moved = x + 1e-3 * normals(200, 5, 3)
    paired = transport(x, moved)
    assert floor.value > 0.2
    assert paired.value <= float(np.sqrt(((x - moved) ** 2).sum(1).mean())) < 0.01


def test_quantiles_of_a_normal_law() -> None:
    """A fine grid of quantiles against a Gaussian twice as wide: W_2 = sigma - 1."""
    grid = norm.ppf((np.arange(2500) + 0.5) / 2500)[:, None]
    assert transport(grid, 2 * grid, seed=1).value == pytest.approx(1.0, rel=0.01)


def test_pairs_are_resampled_together() -> None:
    """A translation is known exactly, although where either set lies is not."""
    x = normals(200, 6, 3)
    together, apart = transport(x, x + 3.0, paired=True), transport(x, x + 3.0)
    assert together.value == apart.value == pytest.approx(3 * np.sqrt(3))
    assert together.high - together.low < 1e-6
    assert apart.high - apart.low > 0.1


@pytest.mark.parametrize("sizes", [(60, 60), (60, 45), (300, 300)])
def test_potentials_prove_the_distance(sizes: tuple[int, int]) -> None:
    """Whatever f_i + g_j <= c_ij allows is below W_2^2 (Kantorovich), and theirs reaches it."""
    x, y = normals(sizes[0], 8, 3), 1 + 2 * normals(sizes[1], 9, 3)
    found = solved(x, y)
    costs = ((x[:, None] - y[None]) ** 2).sum(-1)
    assert (found.f[:, None] + found.g[None] - costs).max() < 1e-9
    assert found.f.mean() + found.g.mean() == pytest.approx(found.value**2)


@pytest.mark.parametrize(("n", "m"), [(6, 18), (20, 5), (7, 7)])
def test_a_set_several_times_as_large_is_the_same_programme(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal((n, 3)), rng.standard_normal((m, 3)) + 1.0
    # `solved` divides points; W_2 of both is one number.
    assert wasserstein_2(x, y) == pytest.approx(solved(x, y).value, rel=1e-12)
