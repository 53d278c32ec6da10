"""Training on a stream: the order is a function of the position, and reading follows it from wherever it begins."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from trainable import CPU, LevelTask, StoppedError, run, short, stop_at

from mixvel_core.data.columns import Column
from mixvel_core.data.parquet_items import ParquetItems, read_stream, shard_writer, write_stream
from mixvel_core.data.row_groups import RowGroup, ThreadReader
from mixvel_core.errors import DataError
from mixvel_core.protocols import Items, Job
from mixvel_core.training.batches import Batches, StreamOrder
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.world import World


@frozen(kw_only=True)
class Noting:
    """Reads, and notes which groups were read."""

    read_groups: list[RowGroup] = field(factory=list)

    def read(self, groups: Sequence[RowGroup], column: Column, ahead: int) -> Generator[np.ndarray]:
        """See ``GroupReader``."""
        for group, items in zip(groups, ThreadReader().read(groups, column, ahead), strict=True):
            self.read_groups.append(group)
            yield items


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> ParquetItems:
    """40 items in 9 row groups, windows of 3."""
    folder = tmp_path_factory.mktemp("stream")
    stored = np.random.default_rng(0).normal(0.2, 0.4, (40, 3)).astype(np.float32)
    with shard_writer(str(folder), (3,), stored.dtype, 5) as writer:
        writer.write(stored[:38])
    write_stream(folder, None, writer.column, writer.files, window=3)
    return read_stream(folder)


def job(folder: Path, items: Items, shards: np.ndarray | None = None) -> Job:
    task = LevelTask(items=items, options=short(batch=6), shards=shards)  # type: ignore[arg-type]  # a task takes any
    return Job(name="level", task=task, seed=7, folder=folder)


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=9),
    window=st.integers(1, 5),
    batch=st.integers(1, 9),
    epochs=st.integers(1, 3),
)
def test_each_item_comes_once_an_epoch_and_each_window_holds_its_own(
    sizes: list[int], window: int, batch: int, epochs: int
) -> None:
    order, count = StreamOrder(3, sizes, window), sum(sizes)
    seen = np.empty(count * epochs, np.int64)
    for start in range(0, count * epochs, batch):
        positions = np.arange(start, min(start + batch, count * epochs))
        for p, e, w, place in zip(positions, *order.windows_at(positions), strict=True):
            seen[p] = order.window(int(e), int(w)).items[place]
    for e, epoch in enumerate(seen.reshape(epochs, count)):
        assert sorted(epoch) == list(range(count))
        assert sorted(order.groups(e)) == list(range(len(sizes)))
        # Within the first window there are the items of its groups and no others.
        first = order.window(e, 0)
        assert len(first.groups) == min(window, len(sizes))
        home = np.repeat(np.arange(len(sizes)), sizes)
        assert set(home[epoch[: len(first.items)]]) == set(first.groups)


def test_places_in_the_window_are_those_of_its_items() -> None:
    sizes = [2, 5, 3, 4]
    order, firsts = StreamOrder(1, sizes, 2), np.array([0, 2, 7, 10])
    for w in (0, 1):
        window = order.window(0, w)
        joined = np.concatenate([np.arange(firsts[g], firsts[g] + sizes[g]) for g in window.groups])
        assert np.array_equal(joined[window.places], window.items)
        assert not np.array_equal(joined, window.items)


def test_epochs_and_seeds_have_different_orders() -> None:
    sizes = [3] * 20
    orders = [StreamOrder(seed, sizes, 4).groups(epoch).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_batches_are_the_items_at_their_indices(items: ParquetItems, tmp_path: Path) -> None:
    whole = items[:]
    batches = Batches(job(tmp_path, items, np.arange(38)), CPU, World())
    seen = []
    for step in range(19):
        batch = batches.at(step)
        assert np.array_equal(batch.x_0.numpy(), whole[batch.shard.numpy()])
        seen.extend(batch.shard.tolist())
    batches.close()
    assert [sorted(seen[e * 38 : (e + 1) * 38]) for e in range(3)] == [list(range(38))] * 3


@pytest.mark.parametrize("size", [2, 3])
def test_workers_see_together_what_one_would(items: ParquetItems, tmp_path: Path, size: int) -> None:
    alone = Batches(job(tmp_path, items), CPU, World())
    parts = [Batches(job(tmp_path, items), CPU, World(rank=rank, size=size)) for rank in range(size)]
    for step in (0, 1, 2, 9, 3):
        assert torch.equal(torch.cat([part.at(step).x_0 for part in parts]), alone.at(step).x_0)
    for one in (alone, *parts):
        one.close()


def test_reading_begins_where_the_training_goes_on(items: ParquetItems, tmp_path: Path) -> None:
    reader = Noting()
    batches = Batches(job(tmp_path, items), CPU, World(reader=reader))
    batches.at(5)
    # Position 30 of 38 is in the last of three windows: groups of the other two are not touched.
    assert len(reader.read_groups) <= 3
    reader.read_groups.clear()
    batches.at(5)
    assert reader.read_groups == []
    batches.close()
    once = Noting()
    batches = Batches(job(tmp_path, items), CPU, World(reader=once))
    for step in range(6):
        batches.at(step)
    assert len(once.read_groups) == len(set(once.read_groups)) <= len(items.groups)
    batches.close()


@pytest.mark.parametrize("stopped", [1, 4, 17])
def test_interrupted_within_an_epoch_it_ends_where_it_would_have(
    items: ParquetItems, tmp_path: Path, stopped: int
) -> None:
    run(job(tmp_path / "whole", items))
    with pytest.raises(StoppedError):
        run(job(tmp_path / "stopped", items), stop_at(stopped))
    run(job(tmp_path / "stopped", items))
    whole, resumed = read_trained(tmp_path / "whole"), read_trained(tmp_path / "stopped")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_file_that_vanishes_ends_the_training_in_a_line(items: ParquetItems, tmp_path: Path) -> None:
    gone = [evolve(group, uri="nowhere/items.parquet") if g == 4 else group for g, group in enumerate(items.groups)]
    broken = ParquetItems(groups=tuple(gone), column=items.column, window=3)
    with pytest.raises(DataError, match=r"^nowhere/items.parquet: does not exist"):
        run(job(tmp_path, broken))
