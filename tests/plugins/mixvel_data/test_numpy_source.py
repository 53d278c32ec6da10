"""NumPy files: round trips for what is supported, one clear line for what is not."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mixvel_core.errors import DataError
from mixvel_data.numpy_source import NumpySource, labels_of


def pictures(count: int = 6, shape: tuple[int, ...] = (3, 8, 8), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def refusal(source: NumpySource) -> str:
    """The message of the DataError that loading ends in: one line."""
    with pytest.raises(DataError) as caught:
        source.load()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_become_native_float32(tmp_path: Path, dtype: np.dtype) -> None:
    vectors = np.linspace(-1, 1, 20).reshape(5, 4).astype(dtype)
    items = NumpySource(path=saved(tmp_path / "a.npy", vectors)).load().items
    assert items.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(items[:], vectors.astype(np.float32))


def test_bytes_stay_bytes_and_on_disk(tmp_path: Path) -> None:
    stored = pictures()
    path = saved(tmp_path / "a.npy", stored)
    items = NumpySource(path=path).load().items
    assert isinstance(items, np.memmap)
    assert items.dtype == np.uint8
    np.testing.assert_array_equal(items, stored)
    # torch warns about arrays it may not write to, and warnings are errors here; the file stays as it is.
    torch.from_numpy(items).zero_()
    np.testing.assert_array_equal(np.load(path), stored)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_channels_last_is_turned(tmp_path: Path, suffix: str) -> None:
    stored = pictures()
    path = tmp_path / f"a.{suffix}"
    last = np.moveaxis(stored, 1, -1)
    if suffix == "npy":
        np.save(path, last)
    else:
        np.savez(path, items=last)
    data = NumpySource(path=path, layout="channels-last").load()
    np.testing.assert_array_equal(data.items[:], stored)
    assert data.labels is None
    assert data.provenance["count"] == "6"


def test_forgotten_layout_is_noticed(tmp_path: Path) -> None:
    source = NumpySource(path=saved(tmp_path / "a.npy", pictures(shape=(8, 8, 3))))
    assert "layout: channels-last" in refusal(source)


def test_grey_images_get_a_channel(tmp_path: Path) -> None:
    stored = pictures(shape=(8, 8))
    items = NumpySource(path=saved(tmp_path / "a.npy", stored)).load().items
    assert items.shape == (6, 1, 8, 8)
    np.testing.assert_array_equal(items[:][:, 0], stored)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archive_with_labels(tmp_path: Path, save: object) -> None:
    assert callable(save)
    stored = pictures()
    save(tmp_path / "a.npz", x=stored, y=np.array([3, 1, 3, 7, 1, 1], dtype=np.uint8), other=np.zeros(2))
    data = NumpySource(path=tmp_path / "a.npz", items="x", labels="y").load()
    np.testing.assert_array_equal(data.items[:], stored)
    assert data.labels is not None
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == [3, 1, 3, 7, 1, 1]


def test_folder_labels_by_file(tmp_path: Path) -> None:
    saved(tmp_path / "cat.npy", pictures(2, seed=1))
    saved(tmp_path / "ant.npy", pictures(3, seed=2))
    (tmp_path / "notes.txt").write_text("not data")
    data = NumpySource(path=tmp_path).load()
    np.testing.assert_array_equal(data.items[:], np.concatenate([pictures(3, seed=2), pictures(2, seed=1)]))
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 0, 1, 1]
    assert data.provenance["classes"] == "0 ant (3), 1 cat (2)"
    assert data.label_names == ("ant", "cat")


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["0", "1", "10", "2"], [0, 1, 10, 2]),
        (["007", "3"], [7, 3]),
        (["1", "a"], [0, 1]),
        (["9" * 19], [0]),
        (["²"], [0]),
    ],
)
def test_files_named_by_numbers_are_labelled_by_them(names: list[str], labels: list[int]) -> None:
    assert labels_of([Path(f"{name}.npy") for name in names]) == labels


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 3), dtype=np.int64), "int64"),
        (np.zeros((2, 3), dtype=complex), "complex128"),
        (np.zeros((2, 3), dtype=bool), "bool"),
        (np.array([["a"]]), "<U1"),
        (np.zeros(5, dtype=np.uint8), "shape (5,)"),
        (np.zeros((), dtype=np.uint8), "shape ()"),
        (np.zeros((1, 2, 3, 4, 5), dtype=np.uint8), "shape (1, 2, 3, 4, 5)"),
        (np.zeros((0, 4), dtype=np.float32), "empty"),
        (np.zeros((3, 0), dtype=np.uint8), "empty"),
        (np.array([[0, 0], [0, 1.5]]), "item 1 has values from 0 to 1.5"),
        (np.array([[0, 0], [0, 0], [-2, 0]], dtype=np.float32), "item 2"),
        (np.array([[0, np.nan]]), "item 0 has values from nan"),
        (np.array([[0, np.inf]]), "to inf"),
    ],
)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_unusable_arrays(tmp_path: Path, array: np.ndarray, said: str, suffix: str) -> None:
    path = tmp_path / f"bad.{suffix}"
    if suffix == "npy":
        np.save(path, array)
    else:
        np.savez(path, items=array)
    message = refusal(NumpySource(path=path))
    assert str(path) in message
    assert said in message


def damaged(path: Path) -> None:
    np.savez(path, items=pictures())
    content = bytearray(path.read_bytes())
    content[600] ^= 0xFF
    path.write_bytes(content)


def zip_of_text(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("items", "not an array")


UNREADABLE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "absent file": ("a.npy", lambda path: None),
    "absent archive": ("a.npz", lambda path: None),
    "absent": ("a", lambda path: None),
    "empty": ("a.npy", lambda path: path.write_bytes(b"")),
    "empty archive": ("a.npz", lambda path: path.write_bytes(b"")),
    "header alone": ("a.npy", lambda path: path.write_bytes(b"\x93NUMPY\x01\x00")),
    "zip header alone": ("a.npz", lambda path: path.write_bytes(b"PK\x03\x04 no")),
    "cut short": ("a.npy", lambda path: path.write_bytes(saved(path, pictures()).read_bytes()[:-100])),
    "damaged archive": ("a.npz", damaged),
    "objects": ("a.npy", lambda path: np.save(path, np.array([[1], [1, 2]], dtype=object), allow_pickle=True)),
    "archive of objects": ("a.npz", lambda path: np.savez(path, items=np.array([[1], [1, 2]], dtype=object))),
    "archive by a wrong name": ("a.npy", zip_of_text),
    "array by a wrong name": ("a.npz", lambda path: saved(path.with_suffix(".npy"), pictures()).rename(path)),
    "zip file of text": ("a.npz", zip_of_text),
    "other suffix": ("a.csv", lambda path: path.write_text("1,2")),
    "empty folder": ("a", lambda path: path.mkdir()),
    "other arrays": ("a.npz", lambda path: np.savez(path, x_train=pictures())),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    file, make = UNREADABLE[name]
    make(tmp_path / file)
    message = refusal(NumpySource(path=tmp_path / file))
    assert str(tmp_path / file) in message
    assert name != "other arrays" or "x_train" in message


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros((6, 2), dtype=int), "shape (6, 2)"),
        (np.zeros(5, dtype=int), "shape (5,)"),
        (np.full(6, 0.5), "float64"),
    ],
)
def test_unusable_labels(tmp_path: Path, labels: np.ndarray, said: str) -> None:
    np.savez(tmp_path / "a.npz", items=pictures(), y=labels)
    message = refusal(NumpySource(path=tmp_path / "a.npz", labels="y"))
    assert "array 'y'" in message
    assert said in message


def test_label_name_without_an_archive(tmp_path: Path) -> None:
    saved(tmp_path / "a.npy", pictures())
    assert "leave out `labels`" in refusal(NumpySource(path=tmp_path / "a.npy", labels="y"))
    assert "leave out `labels`" in refusal(NumpySource(path=tmp_path, labels="y"))


@pytest.mark.parametrize("other", [pictures(shape=(3, 8, 9)), pictures().astype(np.float32) / 255])
def test_folder_of_unlike_files(tmp_path: Path, other: np.ndarray) -> None:
    saved(tmp_path / "a.npy", pictures())
    bad = saved(tmp_path / "b.npy", other)
    message = refusal(NumpySource(path=tmp_path))
    assert message.startswith(str(bad))
    assert "a.npy" in message
