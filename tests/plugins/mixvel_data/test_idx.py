"""IDX files: known bytes become known images; every file that lies or is damaged gets one line that names it."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from mixvel_core.errors import DataError
from mixvel_core.field.padded import PaddedSource, padded
from mixvel_data.hooks import FashionOptions, IdxOptions, mixvel_data
from mixvel_data.idx_files import read_idx
from mixvel_data.idx_source import FASHION_CLASSES, FASHION_GET, IdxSource, averaged, fashion_folder
from mixvel_data.numpy_source import Digits

PICTURES = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
LABELS = np.array([2, 0, 2], dtype=np.uint8)


def idx(values: np.ndarray, shape: tuple[int, ...] | None = None, kind: int = 8) -> bytes:
    """An IDX file by hand: 00 00, type, number of axes, lengths, values."""
    lengths = values.shape if shape is None else shape
    return struct.pack(f">4B{len(lengths)}I", 0, 0, kind, len(lengths), *lengths) + values.tobytes()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def folder(at: Path, *, images: bytes | None = None, labels: bytes | None = None, gz: str = ".gz") -> Path:
    for split in ("train", "t10k"):
        write(at / f"{split}-images-idx3-ubyte{gz}", idx(PICTURES) if images is None else images)
        write(at / f"{split}-labels-idx1-ubyte{gz}", idx(LABELS) if labels is None else labels)
    return at


def refusal(source: IdxSource) -> str:
    """The message that loading ends in, with exit code 3: one line."""
    with pytest.raises(DataError) as caught:
        source.load()
    assert caught.value.exit_code == 3
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("gz", ["", ".gz"])
def test_known_bytes_are_known_images(tmp_path: Path, gz: str) -> None:
    data = IdxSource(path=folder(tmp_path, gz=gz)).load()
    assert data.items.dtype == np.uint8
    assert data.items.shape == (3, 1, 4, 4)
    assert data.items[:][1, 0, 0].tolist() == [16, 17, 18, 19]
    assert data.labels is not None
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == [2, 0, 2]
    assert data.provenance["split"] == "train"
    # torch warns about arrays it may not write to, and warnings are errors here.
    assert torch.from_numpy(data.items[:2]).shape == (2, 1, 4, 4)
    assert data.provenance["images"].startswith(f"train-images-idx3-ubyte{gz}, BLAKE2b ")


def test_the_split_is_another_pair_of_files(tmp_path: Path) -> None:
    folder(tmp_path)
    write(tmp_path / "t10k-images-idx3-ubyte.gz", idx(PICTURES[2:]))
    write(tmp_path / "t10k-labels-idx1-ubyte.gz", idx(LABELS[2:]))
    assert len(IdxSource(path=tmp_path, split="test").load().items) == 1


@pytest.mark.parametrize("words", ["emnist-letters-{}-{}-idx{}-ubyte.gz", "{}-{}.idx{}-ubyte"])
def test_names_of_other_publishers(tmp_path: Path, words: str) -> None:
    for split in ("train", "test"):
        write(tmp_path / words.format(split, "images", 3), idx(PICTURES))
        write(tmp_path / words.format(split, "labels", 1), idx(LABELS))
    for split in ("train", "test"):
        assert len(IdxSource(path=tmp_path, split=split).load().items) == 3  # type: ignore[arg-type]  # of the parametrisation


def test_several_data_sets_in_one_folder_are_told_apart_by_prefix(tmp_path: Path) -> None:
    for prefix, count in (("emnist-letters", 3), ("emnist-digits", 2)):
        write(tmp_path / f"{prefix}-train-images-idx3-ubyte.gz", idx(PICTURES[:count]))
        write(tmp_path / f"{prefix}-train-labels-idx1-ubyte.gz", idx(LABELS[:count]))
    assert "several data sets (emnist-digits, emnist-letters); name one as `prefix`" in refusal(
        IdxSource(path=tmp_path)
    )
    assert len(IdxSource(path=tmp_path, prefix="emnist-digits").load().items) == 2


def test_options_choose_turn_shrink_and_pad(tmp_path: Path) -> None:
    options = IdxOptions(path=str(folder(tmp_path)), classes=(2,), transposed=True, size=2, pad=4)
    data = next(d for d in mixvel_data() if d.name == "idx").build(options).load()
    assert data.labels is not None
    assert data.labels.tolist() == [2, 2]
    # Of 0..15 by rows: turned, the upper right square holds 8, 9, 12 and 13, whose mean 10.5 rounds to even.
    middle = data.items[:][0, 0, 1:3, 1:3]
    assert middle.tolist() == [[2, 10], [4, 12]]
    assert data.items[:].sum() == data.items[:][:, :, 1:3, 1:3].sum()
    assert data.provenance["resolution"] == "4 x 4, from 4 x 4"
    assert data.provenance["scaling"] == "means over squares to 2 pixels, black border"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("images", b"", "begins with nothing"),
        ("images", b"PK\x03\x04 a zip file", "no IDX file, it begins with 50 4b 03 04"),
        ("images", idx(PICTURES, kind=0x0D), "holds float32 values; images are unsigned bytes"),
        ("images", idx(LABELS), "has 1 axes; images have 3"),
        ("labels", idx(PICTURES), "has 3 axes; labels have 1"),
        ("images", idx(PICTURES)[:10], "is cut short within its header"),
        ("images", idx(PICTURES, shape=(3, 0, 4)), "is empty, its header gives 3 x 0 x 4"),
        ("images", idx(PICTURES)[:-1], "holds 47 values, and its header gives 3 x 4 x 4"),
        ("images", idx(PICTURES) + b"\0", "holds more values, and its header gives 3 x 4 x 4"),
        ("images", idx(PICTURES, shape=(4, 4, 4)), "its header gives 4 x 4 x 4"),
        ("images", idx(PICTURES, shape=(4294967295,) * 3), "more than the file can hold"),
        ("images", idx(PICTURES, shape=(60000, 28, 28)), "more than the file can hold"),
        ("labels", idx(LABELS[:2]), "holds 2 labels, and train-images-idx3-ubyte{gz} 3 images"),
    ],
)
@pytest.mark.parametrize("gz", ["", ".gz"])
def test_a_file_that_lies_is_named(tmp_path: Path, name: str, content: bytes, said: str, gz: str) -> None:
    folder(tmp_path, gz=gz, **{name: content})
    message = refusal(IdxSource(path=tmp_path))
    if not gz and "47 values" in said:
        said = "its header gives 3 x 4 x 4 values, more than the file can hold"
    assert message.startswith(f"{tmp_path}/train-{name}-idx{3 if name == 'images' else 1}-ubyte{gz}: ")
    assert said.format(gz=gz) in message


def test_gzip_cut_short_damaged_or_not_gzip(tmp_path: Path) -> None:
    path = folder(tmp_path) / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    assert f"{path}: is cut short" in refusal(IdxSource(path=tmp_path))
    path.write_bytes(whole[:-6] + bytes([whole[-6] ^ 255]) + whole[-5:])
    assert f"{path}: cannot be read (CRC check failed" in refusal(IdxSource(path=tmp_path))
    path.write_bytes(idx(PICTURES))
    assert f"{path}: cannot be read (Not a gzipped file" in refusal(IdxSource(path=tmp_path))


def test_absent_files_and_folders(tmp_path: Path) -> None:
    assert refusal(IdxSource(path=tmp_path / "no")).startswith(f"{tmp_path}/no: does not exist; put the images")
    (tmp_path / "file").write_bytes(b"")
    assert "is no folder" in refusal(IdxSource(path=tmp_path / "file"))
    assert f"{tmp_path}: has no train-images-idx3-ubyte[.gz]; put the" in refusal(IdxSource(path=tmp_path))
    folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    assert "has no t10k-labels-idx1-ubyte[.gz]" in refusal(IdxSource(path=tmp_path, split="test"))
    with pytest.raises(DataError, match="does not exist"):
        read_idx(tmp_path / "none", 1)


def test_a_class_without_items_is_named(tmp_path: Path) -> None:
    assert "has no item of class 7 (it has 0, 2); change `classes`" in refusal(
        IdxSource(path=folder(tmp_path), classes=(0, 7))
    )


def test_sizes_that_do_not_fit_get_the_nearest(tmp_path: Path) -> None:
    source = IdxSource(path=folder(tmp_path), size=3)
    assert "size: 3 does not divide 4; the nearest that divide it are 2 and 4" in refusal(source)
    assert "size: 8 does not divide 4; the nearest that divides it is 4" in refusal(IdxSource(path=tmp_path, size=8))
    assert "nearest that fit are 4 and 6" in refusal(IdxSource(path=tmp_path, pad=5))
    assert "nearest that fits is 4" in refusal(IdxSource(path=tmp_path, pad=2))
    with pytest.raises(DataError, match="no squares"):
        averaged(PICTURES[:, :3], 1, "x")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_padding_leaves_the_middle_and_adds_black(dtype: type) -> None:
    items: np.ndarray = PICTURES[:, None].astype(dtype)
    wide = padded(items, 8, "x")
    assert (wide.shape, wide.dtype, len(wide)) == ((3, 1, 8, 8), items.dtype, 3)
    for rows in (slice(1, 3), np.array([2, 0])):
        np.testing.assert_array_equal(wide[rows][:, :, 2:6, 2:6], items[rows])
    black = 0 if dtype is np.uint8 else -1
    assert wide[:][0, 0, 0].tolist() == [black] * 8
    assert padded(items, None, "x") is items
    assert padded(items, 4, "x") is items


def test_what_is_no_image_is_not_padded() -> None:
    with pytest.raises(DataError, match=r"x: pad: items of shape \(4,\) are no images"):
        padded(np.zeros((2, 4), np.uint8), 8, "x")
    with pytest.raises(DataError, match="in the middle of no square"):
        padded(np.zeros((2, 1, 4, 5), np.uint8), 8, "x")


def test_other_sources_are_padded_too() -> None:
    data = PaddedSource(source=Digits(labels=(0,)), side=16, name="digits").load()
    assert data.items.shape[1:] == (1, 16, 16)
    assert data.provenance["padding"] == "8 x 8 to 16 x 16, black"


def test_fashion_mnist_is_looked_for_and_the_way_to_get_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mixvel_data.idx_source.FASHION_PLACES", (Path("data/fashion-mnist"), tmp_path / "debian"))
    source = next(d for d in mixvel_data() if d.name == "fashion-mnist")
    with pytest.raises(DataError, match="get it with `apt-get install dataset-fashion-mnist`") as caught:
        source.build(FashionOptions()).load()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
    folder(tmp_path / "debian")
    assert fashion_folder(None) == tmp_path / "debian"
    data = source.build(FashionOptions(split="test")).load()
    assert data.label_names == FASHION_CLASSES
    folder(tmp_path / "data" / "fashion-mnist")
    assert fashion_folder(None) == Path("data/fashion-mnist")
    assert fashion_folder("elsewhere") == Path("elsewhere")
    assert "dataset-fashion-mnist" in FASHION_GET


@pytest.mark.parametrize("classes", [(), (1, 1), (-1,), (256,)])
def test_classes_that_are_none(classes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="labels from 0 to 255"):
        FashionOptions(classes=classes)
