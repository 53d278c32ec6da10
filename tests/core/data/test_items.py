"""Items gathered from several places are what a concatenation of them is, and are read only where asked for."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from trainable import Watching

from mixvel_core.artifacts.artifact import Artifact
from mixvel_core.data.items import Chosen, Joined, joined, spans
from mixvel_core.pipeline import partition as partition_module
from mixvel_core.pipeline.partition import partition
from mixvel_core.pipeline.splits import Part, Split
from mixvel_core.protocols import Data, Items
from mixvel_core.protocols.progress import Silent


@frozen(kw_only=True, eq=False)
class Counted:
    """Items that are made when read: item i is all i modulo 251. Keeps the largest number ever read at once."""

    count: int
    size: int
    most: list[int] = field(factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.count, self.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        chosen = np.arange(self.count)[rows]
        self.most.append(len(chosen))
        return np.repeat((chosen % 251).astype(np.uint8)[:, None], self.size, axis=1)


def pieces(sizes: list[int]) -> list[np.ndarray]:
    total = np.arange(sum(sizes) * 2, dtype=np.float32).reshape(-1, 2)
    return np.split(total, np.cumsum(sizes)[:-1])


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=5), data=st.data())
def test_joined_items_are_the_concatenation(sizes: list[int], data: st.DataObject) -> None:
    parts = pieces(sizes)
    whole, items = np.concatenate(parts), Joined(parts=tuple(parts))
    assert (len(items), items.shape, items.dtype) == (len(whole), whole.shape, whole.dtype)
    if len(whole):
        chosen = np.array(data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=12)), np.int64)
        assert np.array_equal(items[chosen], whole[chosen])
    cut = slice(data.draw(st.integers(-9, 9)), data.draw(st.integers(-9, 9)), data.draw(st.sampled_from([None, 2])))
    assert np.array_equal(items[cut], whole[cut])


def test_chosen_items_are_those_at_the_rows() -> None:
    source, rows = np.arange(20.0).reshape(10, 2), np.array([7, 1, 1, 4])
    items = Chosen(source=source, rows=rows)
    assert (len(items), items.shape, items.dtype) == (4, (4, 2), source.dtype)
    assert np.array_equal(items[:], source[rows])
    assert np.array_equal(items[np.array([3, 0])], source[[4, 7]])


def test_one_part_is_itself() -> None:
    part = np.zeros((2, 3))
    assert joined(part) is part


@pytest.mark.parametrize("wrong", [[5], [-1], [0, 9]])
def test_items_that_are_not_there(wrong: list[int]) -> None:
    with pytest.raises(IndexError):
        Joined(parts=tuple(pieces([2, 3])))[np.array(wrong)]


def test_only_the_parts_asked_for_are_read() -> None:
    parts = [Counted(count=10, size=1) for _ in range(3)]
    Joined(parts=tuple(parts))[np.array([12, 11, 29])]
    assert [part.most for part in parts] == [[], [2], [1]]


@given(count=st.integers(0, 40), size=st.integers(1, 100))
def test_spans_cover_all_items_in_order(count: int, size: int) -> None:
    items = np.zeros((count, 3, 4), np.uint8)
    found = list(spans(items, size))
    assert [i for first, last in found for i in range(first, last)] == list(range(count))
    assert all((last - first) * 12 <= max(size, 12) for first, last in found)


def cut(items: Items, shard_of: np.ndarray) -> Split:
    data = Data(items=items)
    parts = [
        Part(data=data, rows=np.flatnonzero(shard_of == k), index=k, fraction=0.5, law=None)
        for k in range(int(shard_of.max()) + 1)
    ]
    return Split(data=data, parts=tuple(parts))


def test_partition_holds_a_block_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block, size = 1 << 16, 1 << 10
    monkeypatch.setattr(partition_module, "spans", lambda items: spans(items, block))
    items = Counted(count=4096, size=size)
    shard_of = np.arange(len(items)) % 3
    seen: list[int] = []
    progress = Watching(on_update=lambda done, note: seen.append(done))
    tracemalloc.start()
    try:
        shards = partition(cut(items, shard_of), Artifact(folder=tmp_path / "shards", key="k"), progress)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Items are 4 MiB, a shard more than 1 MiB, a block 64 KiB; checksums are taken a MiB at a time.
    assert max(items.most) == block // size
    assert peak < 2.5 * (1 << 20)
    assert seen == list(range(64, 4097, 64))
    for part in shards.parts:
        assert np.array_equal(part.items[:], items[np.flatnonzero(shard_of == part.index)])


def test_small_data_show_no_bar_and_are_files_as_numpy_writes_them(tmp_path: Path) -> None:
    items = np.random.default_rng(0).normal(size=(9, 2, 3)).astype(np.float32)
    shard_of = np.array([1, 0, 1, 1, 0, 0, 0, 1, 1])
    shards = partition(cut(items, shard_of), Artifact(folder=tmp_path / "shards", key="k"), Silent())
    for k, part in enumerate(shards.parts):
        np.save(tmp_path / "expected.npy", items[shard_of == k])
        assert (part.folder / "items.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
