from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixvel_routers.integrated import to_simplex


@st.composite
def rows(draw: st.DrawFn) -> Tensor:
    count, size = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    numbers = st.floats(-10, 10, allow_nan=False)
    return torch.tensor(
        draw(st.lists(st.lists(numbers, min_size=size, max_size=size), min_size=count, max_size=count)),
        dtype=torch.float64,
    )


@settings(deadline=None, max_examples=60)
@given(v=rows())
def test_the_projection_is_on_the_simplex_and_stays_there(v: Tensor) -> None:
    a = to_simplex(v)
    assert (a >= 0).all()
    torch.testing.assert_close(a.sum(1), torch.ones(len(v), dtype=torch.float64))
    torch.testing.assert_close(to_simplex(a), a, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(v=rows(), seed=st.integers(0, 999))
def test_no_other_point_is_nearer(v: Tensor, seed: int) -> None:
    """The nearest point p of a convex set is the one with (v - p).(q - p) <= 0 for every q of it."""
    a = to_simplex(v)
    corners = torch.eye(v.shape[1], dtype=torch.float64)
    inner = ((v - a)[:, None] * (corners - a[:, None])).sum(-1)
    assert float(inner.max()) < 1e-9


def test_known_projections() -> None:
    v = torch.tensor([[0.5, 0.5, 0.0], [2.0, 0.0, 0.0], [0.6, 0.6, -1.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    wanted = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1 / 3] * 3], dtype=torch.float64)
    torch.testing.assert_close(to_simplex(v), wanted)


def test_one_expert_has_everything() -> None:
    assert torch.equal(to_simplex(torch.tensor([[3.0], [-2.0]])), torch.ones(2, 1))
