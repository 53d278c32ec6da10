"""What is written as Parquet comes back, from any file system, and only what is asked for is read."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parquet_files import images

from mixvel_core.data import parquet_items
from mixvel_core.data.items import joined
from mixvel_core.data.parquet_items import (
    GROUPS_IN_FILE,
    ParquetItems,
    read_stream,
    shard_writer,
    stream_of,
    write_stream,
)
from mixvel_core.data.row_groups import RowGroup, ThreadReader, file_system, groups_of, parquet_files, read_items
from mixvel_core.errors import DataError


@pytest.fixture(params=["path", "file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place on each file system."""
    memory = f"memory://{tmp_path.name}"
    yield {"path": str(tmp_path / "a"), "file": f"file://{tmp_path}/a", "memory": memory}[request.param]
    store = fsspec.filesystem("memory")
    if store.exists(tmp_path.name):
        store.rm(tmp_path.name, recursive=True)


def kept(items: np.ndarray, place: str, folder: Path, rows: int = 3, blocks: int = 4) -> ParquetItems:
    with shard_writer(place, items.shape[1:], items.dtype, rows) as writer:
        for block in np.array_split(items, blocks):
            writer.write(block)
    write_stream(folder, place, writer.column, writer.files, window=2)
    return read_stream(folder)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_is_written_is_read(place: str, tmp_path: Path, dtype: type) -> None:
    items: np.ndarray = images(20).astype(dtype)
    found = kept(items, place, tmp_path)
    assert (found.shape, found.dtype, len(found)) == (items.shape, items.dtype, 20)
    assert [group.rows for group in found.groups] == [3] * 6 + [2]
    assert np.array_equal(found[:], items)
    assert np.array_equal(found[np.array([19, 0, 7, 7, 4])], items[[19, 0, 7, 7, 4]])
    assert np.array_equal(found[5:11:2], items[5:11:2])
    assert found[:0].shape == (0, 3, 4, 5)
    # What was listed is what the files themselves say.
    files = parquet_files(place)
    listed = [(group.index, group.rows) for file in files for group in groups_of(file)]
    assert listed == [(group.index, group.rows) for group in found.groups]


def test_many_row_groups_are_several_files(tmp_path: Path) -> None:
    items = np.arange(2 * GROUPS_IN_FILE + 3, dtype=np.uint8)[:, None]
    found = kept(items, str(tmp_path / "a"), tmp_path, rows=1)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [f"items-{i:05d}.parquet" for i in range(3)]
    assert np.array_equal(found[:], items)


@settings(deadline=None, max_examples=15)
@given(count=st.integers(1, 20), rows=st.integers(1, 7), blocks=st.integers(1, 9))
def test_row_groups_do_not_depend_on_the_blocks_that_arrived(
    tmp_path_factory: pytest.TempPathFactory, count: int, rows: int, blocks: int
) -> None:
    folder, items = tmp_path_factory.mktemp("a"), images(count, (2,))
    found = kept(items, str(folder), folder, rows, blocks)
    assert np.array_equal(found[:], items)
    assert {group.rows for group in found.groups[:-1]} <= {rows}


def test_a_failed_writer_leaves_nothing_unfinished(tmp_path: Path) -> None:
    writing = ExitStack()
    writer = writing.enter_context(shard_writer(str(tmp_path), (2,), np.dtype(np.uint8), 2))
    writer.write(images(5, (2,)))
    assert list(tmp_path.iterdir())
    error = ZeroDivisionError()
    assert not writing.__exit__(ZeroDivisionError, error, None)
    assert not list(tmp_path.rglob("*"))


def test_items_in_order_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = kept(images(20), str(tmp_path / "a"), tmp_path)
    read: list[int] = []

    def counted(group: RowGroup, column: object) -> np.ndarray:
        read.append(group.index)
        return read_items(group, found.column)

    monkeypatch.setattr(parquet_items, "read_items", counted)
    for start in range(0, 20, 2):
        found[start : start + 2]
    assert read == list(range(7))
    read.clear()
    found[np.array([1, 4, 2, 5])]
    assert read == [0, 1]


def test_shards_that_are_streamed_are_one_stream_together(tmp_path: Path) -> None:
    parts = [kept(images(7, seed=k), str(tmp_path / str(k)), tmp_path / str(k)) for k in range(3)]
    stream = stream_of(joined(*parts))
    assert stream is not None
    assert stream.groups == parts[0].groups + parts[1].groups + parts[2].groups
    assert stream.window == 2
    assert stream_of(joined(parts[0], images(2))) is None
    assert stream_of(images(2)) is None


def test_groups_are_read_ahead_in_their_order_and_the_reading_ends(tmp_path: Path) -> None:
    found = kept(images(20), str(tmp_path / "a"), tmp_path)
    order = [5, 0, 6, 3]
    read = list(ThreadReader().read([found.groups[g] for g in order], found.column, 2))
    assert all(np.array_equal(a, found[3 * g : 3 * g + 3]) for a, g in zip(read, order, strict=True))
    before = threading.active_count()
    reading = ThreadReader().read(found.groups, found.column, 2)
    next(reading)
    reading.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("damage", ["missing", "truncated", "other"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    found = kept(images(20), str(tmp_path / "a"), tmp_path)
    path = tmp_path / "a" / "items-00000.parquet"
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        kept(images(5), str(tmp_path / "a"), tmp_path / "b", rows=5)
    with pytest.raises(DataError) as caught:
        found[:]
    assert caught.value.exit_code == 3
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damage_within_a_row_group_is_named(tmp_path: Path) -> None:
    found = kept(images(200), str(tmp_path / "a"), tmp_path, rows=200)
    path = tmp_path / "a" / "items-00000.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 - 50 : len(content) // 2 + 50] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"items-00000\.parquet"):
        found[:]


@pytest.mark.parametrize("uri", ["s3://bucket/data", "zzz://a"])
def test_protocols_that_are_not_here(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DataError, match=uri[:3]) as caught:
        file_system(uri)
    assert "\n" not in str(caught.value)


def test_files_are_found_in_folders_and_by_globs(place: str, tmp_path: Path) -> None:
    kept(images(5), f"{place}/x", tmp_path)
    kept(images(5), f"{place}/y", tmp_path)
    assert [file.rsplit("/", 2)[-2] for file in parquet_files(place)] == ["x", "y"]
    assert len(parquet_files(f"{place}/x")) == 1
    assert len(parquet_files(f"{place}/*/items-*.parquet")) == 2
    assert len(parquet_files(f"{place}/y/items-00000.parquet")) == 1
    with pytest.raises(DataError, match="holds no Parquet file"):
        parquet_files(f"{place}/z")
