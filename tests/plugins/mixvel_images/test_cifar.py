"""CIFAR-10 from files as they are published; nothing in them is unpickled as an object."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import original_formats as formats
import pytest

from mixvel_core.errors import DataError
from mixvel_core.protocols import Data
from mixvel_core.recipe.build import build
from mixvel_images.cifar10 import CLASSES
from mixvel_images.cifar_pickle import read_batch

BATCHES = formats.cifar_arrays(count=3)


def loaded(path: Path, store: Path, split: str = "train") -> Data:
    return build("data", "cifar10", {"path": str(path), "store": str(store), "split": split}).load()


def refusal(path: Path, store: Path, split: str = "train") -> str:
    with pytest.raises(DataError) as caught:
        loaded(path, store, split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def wanted(names: list[str]) -> tuple[np.ndarray, list[int]]:
    pixels = np.concatenate([BATCHES[name][0] for name in names]).reshape(-1, 3, 32, 32)
    return pixels, np.concatenate([BATCHES[name][1] for name in names]).tolist()


TRAIN = [f"data_batch_{i}" for i in range(1, 6)]


@pytest.mark.parametrize(
    ("split", "names"), [("train", TRAIN), ("test", ["test_batch"]), ("all", [*TRAIN, "test_batch"])]
)
@pytest.mark.parametrize("write", [formats.write_cifar_python, formats.write_cifar_binary])
@pytest.mark.parametrize("pack", [False, True])
def test_both_versions_unpacked_and_packed(
    tmp_path: Path, split: str, names: list[str], write: object, pack: bool
) -> None:
    assert callable(write)
    place = write(tmp_path / "in", BATCHES)
    if pack:
        place = formats.packed(place, tmp_path / "batches.tar.gz")
    data = loaded(place, tmp_path / "store", split)
    pixels, labels = wanted(names)
    np.testing.assert_array_equal(data.items[:], pixels)
    assert data.labels is not None
    assert data.labels.tolist() == labels
    assert data.provenance["split"] == split
    assert data.provenance["count"] == str(3 * len(names))
    assert data.label_names == CLASSES


def test_a_modern_pickle_is_read_too() -> None:
    pixels, labels = BATCHES["test_batch"]
    fortran = np.asfortranarray(pixels)
    for array in (pixels, fortran):
        got, its = read_batch(pickle.dumps({"data": array, "labels": labels.tolist()}, protocol=4))
        np.testing.assert_array_equal(got, pixels)
        assert its.tolist() == labels.tolist()


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps({b"data": Harmful(), b"labels": [1]}, protocol=protocol)
    with pytest.raises(ValueError, match=r"names (posix\.system|_codecs\.encode)"):
        read_batch(content)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nndarray.tofile\n.",
        b"c__builtin__\ngetattr\n(cnumpy\nndarray\nS'tofile'\ntR.",
        # state and attributes pushed into what stands in for NumPy's names
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}U\x08__call__K\x01sb.",
        b"\x80\x02cnumpy\ndtype\nN}U\x08__call__K\x01s\x86b.",
    ],
)
def test_pickles_that_reach_for_more(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_batch(content)
    assert len(read_batch(formats.pickled_batch("b", *BATCHES["test_batch"]))[0]) == 3


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ([1, 2], "no dictionary"),
        ({b"labels": [1]}, "no 'data'"),
        ({b"data": np.zeros((1, 3072), np.uint8)}, "no 'labels'"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}, "0 to 9"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [True]}, "0 to 9"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [1, 2]}, "1 images and 2 labels"),
        ({b"data": np.zeros((1, 3071), np.uint8), b"labels": [1]}, "no array of bytes"),
        ({b"data": np.zeros((1, 3072), np.float32), b"labels": [1]}, "no array of bytes"),
        ({b"data": np.zeros((1, 3072), object), b"labels": [1]}, "no array of bytes"),
        ({b"data": b"0" * 3072, b"labels": [1]}, "no array of bytes"),
    ],
)
def test_pickles_of_something_else(batch: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_batch(formats.python2_pickle(batch))


def test_an_array_with_fewer_bytes_than_it_says() -> None:
    content = formats.pickled_batch("b", *BATCHES["test_batch"])
    # The shape (3, 3072) stands there as K 3, M 0x0c00.
    with pytest.raises(ValueError, match="4 images has 9216 bytes"):
        read_batch(content.replace(b"K\x03M\x00\x0c", b"K\x04M\x00\x0c"))


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:-count])


DAMAGED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "end cut": ("data_batch_3", lambda path: cut(path, 1)),
    "array cut": ("data_batch_3", lambda path: cut(path, 5000)),
    "missing": ("data_batch_4", lambda path: path.unlink()),
    "record cut": ("data_batch_2.bin", lambda path: cut(path, 1)),
    "label": ("data_batch_1.bin", lambda path: path.write_bytes(b"\x63" + bytes(3072))),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_batches_are_named(tmp_path: Path, name: str) -> None:
    file, damage = DAMAGED[name]
    write = formats.write_cifar_binary if file.endswith("bin") else formats.write_cifar_python
    place = write(tmp_path, BATCHES)
    damage(place / file)
    message = refusal(place, tmp_path / "store")
    assert file in message
    assert "curl" in message
    assert len(loaded(place, tmp_path / "store", "test").items) == 3


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x1f\x8b\x08 no"])
def test_a_tar_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(content)
    assert str(path) in refusal(path, tmp_path / "store")
