"""Arrays as users have them: floats in [0, 1], channels last, labels that nobody named; each is right or one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from command import Command, Done
from hypothesis import given
from hypothesis import strategies as st
from original_formats import encoded
from parquet_files import images, pictures, raw, save
from PIL import Image
from whole_runs import EXACT

from mixvel_core.artifacts.arrays import write_arrays
from mixvel_core.data.conventions import axes_of
from mixvel_core.data.ranges import ranged
from mixvel_core.errors import DataError

RNG = np.random.default_rng(0)
UNIT = RNG.random((24, 1, 8, 8)).astype(np.float32)
LEVELS = RNG.integers(0, 256, (24, 1, 8, 8), dtype=np.uint8)
RGBA = np.tile(LEVELS, (1, 4, 1, 1))
POINTS = np.tile(LEVELS.reshape(24, 64, 1), 2)
LABELS = np.arange(24) % 2
EMPIRICAL = EXACT.replace("gaussian-mixture\n", "empirical\n")


@pytest.fixture
def partition(mixvel: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Done]:
    """`mixvel run recipe.yaml 'data={...}' --stage partition` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(EMPIRICAL)
    return lambda data: mixvel("run", "recipe.yaml", f"data={{{data}}}", "--stage", "partition", "--out", "out")


def stored() -> tuple[np.ndarray, dict[str, Any]]:
    """The items of all shards in their order, and what data.json has."""
    shards = sorted(Path("out/shards").glob("*/items.npy"))
    return np.concatenate([np.load(path) for path in shards]), json.loads(Path("out/shards/data.json").read_text())


def nested(items: np.ndarray, kind: Any) -> pa.Array:
    for _ in range(items.ndim - 1):
        kind = pa.list_(kind)
    return pa.array(items.tolist(), kind)


ALWAYS = "use: numpy, path: a.npz"
REFUSED: dict[str, tuple[dict[str, np.ndarray], str, str]] = {
    "torchvision's floats": ({"items": UNIT}, "", "all values lie in 0 to 1, none below 0; add `range: [0, 1]`"),
    "vectors too": ({"items": UNIT.reshape(24, -1)}, "", "add `range: [0, 1]`"),
    "floats of bytes": ({"items": LEVELS.astype(np.float32)}, "", "add `range: uint8`"),
    "resized bytes": ({"items": LEVELS * np.float32(0.99)}, "", "add `range: [0, 255]`"),
    "integers": (
        {"items": LEVELS.astype(np.int64)},
        "",
        "holds int64 values; expected uint8, or floats in [-1, 1]; add",
    ),
    "16-bit": ({"items": LEVELS.astype(np.uint16) * 257}, "", "add `range: [0, 65535]`"),
    "masks": ({"items": LEVELS // 128}, "", "no byte is above 1, so that 255 would be white"),
    "truth": (
        {"items": LEVELS > 127},
        "",
        "holds bool values; expected uint8, or floats in [-1, 1]; add `range: [0, 1]`",
    ),
    "bytes said to be floats": ({"items": LEVELS}, "range: '[-1, 1]'", "range"),
    "bytes in a range of floats": ({"items": LEVELS}, "range: [-1, 1]", "which `range: [-1, 1]` contradicts"),
    "bytes in 0 to 1": ({"items": LEVELS}, "range: [0, 1]", "not from 0 to 1 as `range` states"),
    "floats said to be bytes": ({"items": UNIT}, "range: uint8", "not whole numbers from 0 to 255"),
    "not a number": ({"items": np.full((24, 4), np.nan)}, "range: as-is", "item 0 has values from nan"),
    "colours last": ({"items": np.tile(LEVELS.reshape(24, 8, 8, 1), 3)}, "", "say `layout: channels-last`"),
    "alpha last": ({"items": np.tile(LEVELS.reshape(24, 8, 8, 1), 4)}, "", "say `layout: channels-last`"),
    "wide": ({"items": np.zeros((24, 8, 12, 3), np.uint8)}, "", "say `layout: channels-last`"),
    "one photograph": ({"items": np.tile(LEVELS.reshape(24, 64, 1), 3)}, "", "look like rows of one image (H, W, C)"),
    "colours first": ({"items": np.zeros((24, 3, 8, 8), np.uint8)}, "layout: channels-last", "leave out `layout"),
    "two labels": (
        {"items": LEVELS, "fine": LABELS, "coarse": LABELS},
        "",
        "fine and coarse could be labels; name one",
    ),
    "another name": (
        {"images": LEVELS},
        "",
        "has no array 'items', it holds y0 (24,), images (24, 1, 8, 8); name",
    ),
    "labels elsewhere": (
        {"items": LEVELS},
        "labels: y",
        "has no array 'y', it holds y0 (24,), items (24, 1, 8, 8); name",
    ),
    "one-hot": ({"items": LEVELS, "y": np.eye(24)}, "labels: y", "take the argmax of one-hot labels"),
    "labels from 1": (
        {"items": LEVELS, "y": LABELS + 1},
        "label_names: [cat, dog]",
        "begin the list with a name for 0",
    ),
    "a class too many": ({"items": LEVELS, "y": LABELS * 2}, "label_names: [cat, dog]", "give each of them a name"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_clear_is_one_line_with_the_mend(partition: Callable[[str], Done], name: str) -> None:
    arrays, options, said = REFUSED[name]
    write_arrays(Path("a.npz"), arrays if {"y", "fine"} & set(arrays) else {"y0": LABELS, **arrays})
    done = partition(f"{ALWAYS}, {options}" if options else ALWAYS)
    assert done.code == (2 if name == "bytes said to be floats" else 3)
    assert said in done.err
    assert len(done.problems) == 1
    assert not Path("out").exists()


ACCEPTED: dict[str, tuple[dict[str, np.ndarray], str, np.ndarray]] = {
    "0 to 1": ({"items": UNIT}, "range: [0, 1]", UNIT.astype(np.float64) * 2 - 1),
    "as they should be": ({"items": UNIT}, "range: [-1, 1]", UNIT),
    "latents": ({"items": UNIT * 7 - 3}, "range: as-is", UNIT * 7 - 3),
    "float bytes": ({"items": LEVELS.astype(np.float32)}, "range: uint8", LEVELS),
    "counts": ({"items": LEVELS % 17}, "range: [0, 16]", (LEVELS % 17) / 8 - 1),
    "masks": ({"items": LEVELS > 127}, "range: [0, 1]", (LEVELS > 127) * 2.0 - 1),
    "dark bytes": ({"items": LEVELS % 7}, "range: uint8", LEVELS % 7),
    "floats on both sides": ({"items": UNIT * 2 - 1}, "", UNIT * 2 - 1),
    "last": ({"items": np.moveaxis(RGBA, 1, -1)}, "layout: channels-last", RGBA),
    "points": ({"items": POINTS}, "layout: as-is", POINTS[:, None]),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_stated_is_read(partition: Callable[[str], Done], name: str) -> None:
    arrays, options, expected = ACCEPTED[name]
    write_arrays(Path("a.npz"), {"y": LABELS[:, None], **arrays})
    done = partition(f"{ALWAYS}, {options}" if options else ALWAYS)
    assert (done.code, done.err) == (0, "")
    items, about = stored()
    np.testing.assert_allclose(items, expected[np.argsort(LABELS, kind="stable")], atol=1e-6)
    assert about["provenance"]["classes"] == "0 (12), 1 (12)"
    assert about["provenance"]["labels"] == "array 'y'"
    assert about["provenance"]["hash"].startswith("BLAKE2b ")


def test_classes_have_names_in_the_line_of_the_partition(partition: Callable[[str], Done]) -> None:
    np.savez("a.npz", items=LEVELS, kind=np.array(["owl", "cat"])[LABELS])
    done = partition(ALWAYS)
    assert "partition: 24 items in 2 shards; 0 cat (12), 1 owl (12)" in done.out
    assert stored()[1]["label_names"] == ["cat", "owl"]


DARK = encoded(Image.fromarray(np.full((8, 8), 4095, np.uint16)))

COLUMNS: dict[str, tuple[Any, str, str | None]] = {
    "lists last": (nested(images(8, (8, 8, 3)), pa.uint8()), "", "say `layout: channels-last`"),
    "raw last": (raw(images(8, (8, 8, 3))), "shape: [8, 8, 3]", "say `layout: channels-last`"),
    "unit floats": (nested(UNIT[:8], pa.float32()), "", "add `range: [0, 1]`"),
    "raw unit floats": (raw(UNIT[:8]), "shape: [1, 8, 8], type: float32", "add `range: [0, 1]`"),
    "raw floats beyond": (raw(UNIT[:8] * 9 - 2), "shape: [1, 8, 8], type: float32", "range: as-is"),
    "integers": (nested(LEVELS[:8], pa.int64()), "", "add `range: uint8`"),
    "stated": (nested(LEVELS[:8], pa.int64()), "range: uint8", None),
    "16-bit that is dark": (
        [DARK] * 8,
        "",
        "reach 4095 of 65535 only, so that all would be nearly black; add `bits: 12`",
    ),
    "and among colours": ([*pictures(images(7, (3, 8, 8))), DARK], "", "add `bits: 12`"),
    "fewer bits than there are": ([DARK] * 8, "bits: 10", "reaches 4095, and `bits: 10` states less than 1024"),
    "pictures have a range": (pictures(LEVELS[:8]), "range: [0, 1]", "leave out `range`"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_parquet_columns_follow_the_same_rules(partition: Callable[[str], Done], name: str) -> None:
    column, options, said = COLUMNS[name]
    save(Path("a.parquet"), {"image": column, "label": [0, 1] * 4})
    done = partition("use: parquet, path: a.parquet, label: label" + (f", {options}" if options else ""))
    if said is None:
        assert done.code == 0
        np.testing.assert_array_equal(stored()[0], LEVELS[:8][[0, 2, 4, 6, 1, 3, 5, 7]])
    else:
        assert (done.code, len(done.problems)) == (3, 1)
        assert said in done.err


def test_a_folder_of_parquet_with_train_and_test_is_not_one_data_set(partition: Callable[[str], Done]) -> None:
    Path("data/.cache").mkdir(parents=True)
    for name, first in (("train-00000", 0), ("test-00000", 4), (".cache/train-00001", 8), ("_delta", 12)):
        rows = slice(first, first + 4)
        save(Path(f"data/{name}.parquet"), {"image": pictures(LEVELS[rows]), "label": LABELS[rows]})
    done = partition("use: parquet, path: data, label: label")
    assert done.code == 3
    assert "data: holds the splits test and train; name one, as in `path: data/train*.parquet`" in done.err
    assert partition("use: parquet, path: data/train*.parquet, label: label").code == 0
    np.testing.assert_array_equal(stored()[0], LEVELS[[0, 2, 1, 3]])


@given(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)))
def test_channels_last_is_noticed_wherever_the_last_axis_could_be_channels(shape: tuple[int, int, int]) -> None:
    *sides, last = shape
    if last <= 4 and min(sides) > last:
        with pytest.raises(DataError, match="layout: channels-last"):
            axes_of(shape, "channels-first", "a")
    else:
        assert axes_of(shape, "channels-first", "a") is None
    assert axes_of(shape, "as-is", "a") is None


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_the_ends_of_a_range_become_minus_one_and_one(low: float, width: float) -> None:
    ends = np.array([[low, low + width]])
    items = ranged(ends, (low, low + width), "a")[:]
    np.testing.assert_array_equal(items, [[-1, 1]])
    assert items.dtype == np.float32


def test_groups_may_name_classes(partition: Callable[[str], Done], mixvel: Command) -> None:
    np.savez("a.npz", items=LEVELS, kind=np.array(["cat", "dog", "owl"])[np.arange(24) % 3])
    line = ("run", "recipe.yaml", f"data={{{ALWAYS}}}", "--stage", "partition", "--out", "out")
    done = mixvel(*line, "partition.groups=[[owl], [0, dog]]")
    assert done.code == 0, done.err
    assert json.loads(Path("out/shards/1/shard.json").read_text())["name"] == "cat, dog"
    assert "partition: 24 items in 2 shards of 8, 16; 0 cat (8), 1 dog (8), 2 owl (8)" in done.out
    done = mixvel(*line, "partition.groups=[[ow], [cat, dog]]", "--fresh")
    assert "no class is called 'ow'; did you mean owl?" in done.err


def test_numbers_of_items_are_no_labels_unless_they_are_stated(partition: Callable[[str], Done]) -> None:
    np.savez("a.npz", items=LEVELS, index=np.arange(24))
    done = partition(ALWAYS)
    assert "array 'index' has another value for each item; add `labels: index` if" in done.err


def test_arrays_of_train_and_test_are_no_classes(partition: Callable[[str], Done]) -> None:
    Path("data").mkdir()
    for name in ("x_train", "x_test", "._x_train"):
        np.save(f"data/{name}.npy", LEVELS)
    done = partition("use: numpy, path: data")
    assert "data: files of the splits x_test and x_train are no classes; name one file as `path`" in done.err
    for name in ("cat", "dog"):
        Path(f"data/x_{'train' if name == 'cat' else 'test'}.npy").rename(f"data/{name}.npy")
    done = partition("use: numpy, path: data")
    assert "data: 2 .npy files, left out: ._x_train.npy\n" in done.out
    assert "0 cat (24), 1 dog (24)" in done.out


def test_without_labels_the_way_to_them_is_named(partition: Callable[[str], Done]) -> None:
    np.savez("a.npz", items=LEVELS, score=UNIT[:, 0, 0, 0])
    assert "name an array of 24 whole numbers as `labels` (others there: score float32 (24,))" in partition(ALWAYS).err
    np.save("a.npy", LEVELS)
    assert "store items and labels in one .npz file, or a" in partition("use: numpy, path: a.npy").err
    save(Path("a.parquet"), {"image": pictures(LEVELS[:4]), "kind": ["a", "b"] * 2, "size": [0.5] * 4})
    assert "name their column as `label` (kind could be)" in partition("use: parquet, path: a.parquet").err


def test_labels_that_were_stored_as_floats_are_read(partition: Callable[[str], Done]) -> None:
    np.savez("a.npz", items=LEVELS, y=LABELS.astype(np.float64))
    assert "0 (12), 1 (12)" in partition(f"{ALWAYS}, labels: y").out
