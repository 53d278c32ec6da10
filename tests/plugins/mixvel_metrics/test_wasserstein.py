"""Exact and sliced Wasserstein-2 of sets of items: closed forms, what is read of them, what the scores state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from mixvel_core.field import transport
from mixvel_core.field.transport import directions, sliced_squares, wasserstein_2
from mixvel_metrics.wasserstein import SlicedWasserstein2, Wasserstein2


def cloud(count: int, dimension: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dimension))


def test_gaussians_within_sampling_error() -> None:
    root_p, root_q = np.diag([1.0, 0.5]), np.array([[1.5, 0.4], [0.4, 0.8]])
    shift = np.array([3.0, -1.0])
    x, y = cloud(1500, 2, 2) @ root_p, cloud(1500, 2, 3) @ root_q + shift
    S_p, S_q = root_p @ root_p, root_q @ root_q
    exact = float(np.sqrt(shift @ shift + np.trace(S_p + S_q - 2 * sqrtm(root_p @ S_q @ root_p).real)))
    assert Wasserstein2().score(x, y).value == pytest.approx(exact, rel=0.03)


def test_far_from_the_origin_nothing_is_lost() -> None:
    moved = cloud(50, 3, 0) + 1e6
    # The shift itself rounds x to about 1e-10.
    assert wasserstein_2(moved, moved[::-1] + 1e-3) == pytest.approx(1e-3 * np.sqrt(3), rel=1e-6)


def test_the_first_items_are_compared_and_the_score_states_it() -> None:
    x, y = cloud(9, 2, 0).astype(np.float32), cloud(5, 2, 1).astype(np.float32)
    score = Wasserstein2(max_count=6).score(x, y)
    assert score.value == Wasserstein2().score(x[:6], y).value
    assert score.conditions == {"samples": "the first 6", "reference": "5", "shape": "2", "features": "pixels"}
    assert Wasserstein2().score(x, y).conditions["samples"] == "9"


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 10**6))
def test_one_dimension_is_exact_for_all_sizes(n: int, m: int, seed: int) -> None:
    x, y = cloud(n, 1, seed), 2 * cloud(m, 1, seed + 1) + 1
    score = SlicedWasserstein2(projections=3).score(x, y)
    assert score.value == pytest.approx(wasserstein_2(x, y), rel=1e-10)


def test_along_an_axis_it_is_the_distance_of_the_coordinates() -> None:
    x, y = cloud(7, 3, 0), cloud(4, 3, 1)
    together = sliced_squares(x, y, np.eye(3))
    for p in range(3):
        assert together[p] == pytest.approx(wasserstein_2(x[:, p : p + 1], y[:, p : p + 1]) ** 2, rel=1e-12)


def test_shift_is_seen_by_each_direction_as_its_share() -> None:
    x, shift = cloud(40, 6, 0), cloud(1, 6, 1)
    u = directions(6, 50, seed=9)
    expected = float(np.sqrt(((u @ shift[0]) ** 2).mean()))
    score = SlicedWasserstein2(projections=50, seed=9).score(x, x + shift)
    assert score.value == pytest.approx(expected, rel=1e-10)
    assert score.conditions["projections"] == "50 (seed 9)"


def test_directions_are_even_on_the_sphere() -> None:
    u = directions(4, 20_000)
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1, rtol=1e-12)
    # The standard error is 0.0035 for means and 0.0018 for second moments.
    np.testing.assert_allclose(u.mean(axis=0), 0, atol=0.015)
    np.testing.assert_allclose(u.T @ u / len(u), np.eye(4) / 4, atol=0.009)


@frozen(kw_only=True, eq=False)
class Stored:
    """Items that are read a few at a time or not at all."""

    array: np.ndarray
    most: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        part = self.array[rows]
        assert len(part) <= self.most, f"{len(part)} items read together"
        return part


def test_sets_larger_than_memory_are_read_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = (cloud(n, 12, n).reshape(n, 3, 2, 2).astype(np.float32) for n in (50, 31))
    expected = SlicedWasserstein2(projections=8).score(x, y)
    monkeypatch.setattr(transport, "VALUES", 7 * 12)
    monkeypatch.setattr("mixvel_metrics.features.ITEMS_BLOCK", 7 * 12)
    found = SlicedWasserstein2(projections=8).score(Stored(array=x, most=7), Stored(array=y, most=7))
    assert found.value == pytest.approx(expected.value, rel=1e-12)
