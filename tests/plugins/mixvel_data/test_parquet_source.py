"""Parquet files as others write them, with all the ways to hold items; from them to trained experts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from parquet_files import images, pictures, raw, save, structs
from whole_runs import TRAINED, files, run

from mixvel_core.artifacts.tensors import read_checksummed
from mixvel_core.errors import DataError, RecipeError
from mixvel_core.protocols import DataSource
from mixvel_core.recipe.build import build


def source(path: object, **options: object) -> DataSource:
    return build("data", "parquet", {"path": str(path), **options})


def refusal(path: object, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        source(path, **options).load().items[:]
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    return str(caught.value)


WAYS: dict[str, tuple[Callable[[np.ndarray], Any], dict[str, object]]] = {
    "pictures": (pictures, {}),
    "structs": (structs, {}),
    "raw": (raw, {"shape": [3, 4, 5]}),
    "fixed": (lambda items: raw(items).cast(pa.binary(60)), {"shape": [3, 4, 5]}),
    "lists": (lambda items: items.tolist(), {}),
    "flat": (lambda items: items.reshape(len(items), -1).tolist(), {"shape": [3, 4, 5]}),
    "last": (lambda items: raw(np.moveaxis(items, 1, -1)), {"shape": [4, 5, 3], "layout": "channels-last"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_hold_images(tmp_path: Path, way: str) -> None:
    items, (column, options) = images(), WAYS[way]
    values = column(items)
    if isinstance(values, list) and isinstance(values[0], list):
        kind: Any = pa.uint8()
        for _ in range(np.ndim(values) - 1):
            kind = pa.list_(kind)
        values = pa.array(values, kind)
    data = source(save(tmp_path / "a.parquet", {"image": values}), **options).load()
    assert (data.items.shape, data.items.dtype) == (items.shape, items.dtype)
    assert np.array_equal(data.items[:], items)
    assert np.array_equal(data.items[np.array([9, 2])], items[[9, 2]])
    assert data.labels is None
    assert data.streaming is None


@pytest.mark.parametrize("name", ["part[1]", "what?", "all*"])
def test_a_name_with_signs_of_globs_is_that_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "part1").mkdir()
    save(tmp_path / name / "0.parquet", {"image": pictures(images())})
    for place in (tmp_path / name, tmp_path / name / "0.parquet"):
        assert np.array_equal(source(place).load().items[:], images())


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_vectors_of_floats(tmp_path: Path, kind: Any) -> None:
    vectors = np.linspace(-1, 1, 20).reshape(5, 4).astype(np.float32)
    data = source(save(tmp_path / "a.parquet", {"x": pa.array(vectors.tolist(), pa.list_(kind))}), column="x").load()
    assert data.items.dtype == np.float32
    np.testing.assert_array_equal(data.items[:], vectors)


def test_labels_and_attributes_are_columns_of_their_own(tmp_path: Path) -> None:
    for name, label in (("b", ["cat", "ant"]), ("a", ["bee", "cat"])):
        save(tmp_path / f"{name}.parquet", {"image": pictures(images(2)), "label": label, "male": [True, False]})
    data = source(tmp_path, label="label", attributes=["male"]).load()
    assert data.labels is not None
    assert data.labels.tolist() == [1, 2, 2, 0]
    assert data.provenance["classes"] == "0 ant (1), 1 bee (1), 2 cat (2)"
    assert data.attributes["male"].tolist() == [True, False, True, False]


REFUSED: dict[str, tuple[dict[str, Any], dict[str, object], str]] = {
    "column": ({"x": [1]}, {}, "has no column 'image' (it holds x)"),
    "label": ({"image": pictures(images(1))}, {"label": "y"}, "has no column 'y'"),
    "numbers": ({"image": [1]}, {}, "holds int64 values; take a column of pictures, bytes or lists"),
    "no picture": ({"image": [b"none"]}, {}, "a picture cannot be read"),
    "sizes": ({"image": pictures(images(1)) + pictures(images(1, (3, 5, 5)))}, {}, "make all pictures of one size"),
    "missing": ({"image": [*pictures(images(1)), None]}, {}, "1 of 2 values are missing"),
    "no shape": ({"image": pa.array([b"12"], pa.binary(2))}, {}, "say their `shape`"),
    "bytes": ({"image": [b"12", b"123"]}, {"shape": [2]}, "not every value has the 2 bytes"),
    "fixed": ({"image": pa.array([b"12"], pa.binary(2))}, {"shape": [3]}, "values have 2 bytes"),
    "lists": ({"image": pa.array([[1, 2], [1]], pa.list_(pa.uint8()))}, {}, "not every value is (2,)"),
    "range": ({"image": [[0.5, 2.0]]}, {}, "item 0 has values from 0.5 to 2"),
    "integers": ({"image": [[1, 2]]}, {}, "holds int64 values; expected uint8, or floats"),
    "struct": ({"image": [{"path": "a.png"}]}, {}, "is a struct without `bytes`"),
    "text in lists": ({"image": [["a", "b"]]}, {}, "does not hold lists of numbers that are all alike"),
    "shape": ({"image": [[0.5, 0.25]]}, {"shape": [3]}, "values of 2 numbers are not [3]"),
    "four axes": ({"image": [[[[[0.5]]]]]}, {}, "items of shape [1, 1, 1, 1]"),
    "labels": ({"image": pictures(images(1)), "y": [0.5]}, {"label": "y"}, "float64 values are no labels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_named(tmp_path: Path, name: str) -> None:
    columns, options, said = REFUSED[name]
    message = refusal(save(tmp_path / "a.parquet", columns), **options)
    assert said in message
    assert name in ("labels",) or "a.parquet" in message


def test_missing_and_truncated_files(tmp_path: Path) -> None:
    assert "holds no Parquet file" in refusal(tmp_path / "absent.parquet")
    path = Path(save(tmp_path / "a.parquet", {"image": pictures(images(3))}))
    path.write_bytes(path.read_bytes()[:-9])
    assert str(path) in refusal(path)


RECIPE = TRAINED.replace("[[0], [1, 2, 3, 4], [5, 6, 7, 8, 9]]", "[[0], [1, 2]]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of three labels in two files."""
    home = tmp_path_factory.mktemp("data")
    for part in range(2):
        items = images(30, (1, 8, 8), seed=part)
        save(home / f"{part}.parquet", {"image": structs(items), "label": np.arange(30) % 3}, rows=8)
    return home


def data_of(folder: Path, more: str = "") -> str:
    return f"data={{use: parquet, path: {folder}, label: label{more}}}"


def weights(folder: Path) -> dict[str, bytes]:
    found = {name: path for name, path in files(folder).items() if name.endswith("model.safetensors")}
    return {
        name: b"".join(v.numpy().tobytes() for v in read_checksummed(path)[0].values()) for name, path in found.items()
    }


@pytest.mark.parametrize("store", ["run", "file", "memory"])
def test_streamed_from_data_to_report(folder: Path, tmp_path: Path, store: str) -> None:
    place = {"run": "", "file": f", store: 'file://{tmp_path}/store'", "memory": f", store: 'memory://{tmp_path.name}'"}
    streaming = f", streaming: true, row_group: 7, window: 2{place[store]}"
    stage = None if store == "run" else "experts"
    run(RECIPE, tmp_path / "run", data_of(folder, streaming), stage=stage)
    names = files(tmp_path / "run")
    assert not [name for name in names if name.endswith("items.npy")]
    assert [name for name in names if name.startswith("shards") and name.endswith(".parquet")] == (
        ["shards/0/items-00000.parquet", "shards/1/items-00000.parquet"] if store == "run" else []
    )
    assert ("report/index.html" in names) == (store == "run")
    # Where the shards are kept is no matter to what is learned from them.
    run(RECIPE, tmp_path / "again", data_of(folder, ", streaming: true, row_group: 7, window: 2"), stage="experts")
    learned = weights(tmp_path / "run")
    assert {name: learned[name] for name in weights(tmp_path / "again")} == weights(tmp_path / "again")


def test_items_held_out_of_a_stream_are_refused_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        run(RECIPE, tmp_path / "run", data_of(folder, ", streaming: true"), "train.held_out=0.1")
    stream = "held_out: items of a stream are read in its order; leave held_out at 0"
    assert caught.value.problems[0] == f"expert-0: {stream}"
    assert not (tmp_path / "run" / "shards").exists()


def test_a_store_without_streaming_is_refused() -> None:
    with pytest.raises(RecipeError, match="store: is for streaming"):
        source("a", store="s3://bucket")
