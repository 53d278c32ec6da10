"""How the engine reads items: every item once, a bounded number at a time, wherever they lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixvel_core.field.item_blocks import item_blocks, rows_on
from mixvel_core.field.scale import to_float


@settings(deadline=None, max_examples=50)
@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=4), rows=st.integers(1, 50))
def test_blocks_hold_every_item_once_and_never_too_many(counts: list[int], rows: int) -> None:
    parts = item_blocks([np.zeros((n, 2), np.float32) for n in counts], rows)
    for part, count in zip(parts, counts, strict=True):
        spans = list(part.spans())
        assert [i for span in spans for i in range(*span)] == list(range(count))
        sizes = [stop - start for start, stop in spans]
        assert max(sizes) <= rows
        assert max(sizes) - min(sizes) <= 1


def test_blocks_of_large_items_are_small() -> None:
    (part,) = item_blocks([np.zeros((5, 3, 512, 512), np.uint8)])
    assert part.rows * 3 * 512 * 512 <= 1 << 21
    (small,) = item_blocks([np.zeros((9, 4), np.float32)])
    assert small.rows == 2048


@pytest.mark.parametrize("like", [torch.zeros(1), torch.zeros(1, dtype=torch.float64)])
@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_vectors_are_items_around_their_mean(like: torch.Tensor, as_tensor: bool, as_bytes: bool) -> None:
    raw = np.random.default_rng(0).integers(0, 256, (30, 2, 3), np.uint8)
    items = raw if as_bytes else to_float(raw)
    items.setflags(write=False)
    (part,) = item_blocks([torch.from_numpy(items.copy()) if as_tensor else items], 8)
    wanted = to_float(raw).reshape(30, 6).astype(np.float64)
    wanted -= wanted.mean(0).astype(np.float32)
    scratch, tolerance = part.scratch(like, part.rows), 1e-12 if like.dtype == torch.float64 else 1e-6
    for start, stop in part.spans():
        block = part.vectors((start, stop), like, scratch).double() * part.scale
        torch.testing.assert_close(block, torch.from_numpy(wanted[start:stop]), rtol=0, atol=tolerance)
    chosen = torch.tensor([29, 3, 3])
    torch.testing.assert_close(part.exact(chosen), torch.from_numpy(wanted[chosen.numpy()]), rtol=0, atol=1e-12)
    torch.testing.assert_close(part.norms, torch.from_numpy((wanted**2).sum(1)), rtol=1e-12, atol=0)


def test_an_accelerator_takes_blocks_as_large_as_memory_may_bear() -> None:
    assert rows_on(torch.device("cpu"), 64, 3072, 682) == 682
    on_gpu = rows_on(torch.device("cuda"), 64, 3072, 682)
    # A shard of 6,000 images of 3,072 numbers is one block; its pairs take a quarter of a gigabyte at most.
    assert on_gpu >= 6000
    assert on_gpu * 3072 <= 1 << 28
    assert rows_on(torch.device("cuda"), 4096, 16, 2048) * 4096 <= 1 << 25
