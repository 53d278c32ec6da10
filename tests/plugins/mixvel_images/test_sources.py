"""Folders, zip files and CelebA's tables: what is read, what is refused, and how each message names the remedy."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import original_formats as formats
import pytest
from PIL import Image

from mixvel_core.errors import DataError
from mixvel_core.protocols import Data
from mixvel_core.recipe.build import build
from mixvel_images import files as listing
from mixvel_images.celebahq import parse_attributes, parse_mapping

PHOTO = [formats.photograph(6, 6, i) for i in range(6)]


def unpacked(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def as_items(images: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(image).transpose(2, 0, 1) for image in images])


def loaded(name: str, tmp_path: Path, **options: object) -> Data:
    return build("data", name, {"store": str(tmp_path / "store"), **options}).load()


def refusal(name: str, tmp_path: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        loaded(name, tmp_path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


CLASSES = {f"{'cat' if i < 4 else 'ant'}/{i}.png": formats.encoded(PHOTO[i]) for i in range(6)}


@pytest.mark.parametrize("pack", [False, True])
def test_labels_are_the_folders_in_order(tmp_path: Path, pack: bool) -> None:
    files = {f"photos/{name}": content for name, content in CLASSES.items()} | {"photos/notes.txt": b"n"}
    place = formats.write_zip(tmp_path / "a.zip", files) if pack else unpacked(tmp_path / "in", files)
    data = loaded("image-folder", tmp_path, path=str(place))
    np.testing.assert_array_equal(data.items[:], as_items([PHOTO[i] for i in (4, 5, 0, 1, 2, 3)]))
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 1, 1, 1, 1]
    assert data.label_names == ("ant", "cat")
    assert data.provenance["files"] == "7 files, 6 images, left out: 1 .txt"


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    place = unpacked(tmp_path / "in", {"b.png": formats.encoded(PHOTO[1]), "a.png": formats.encoded(PHOTO[0])})
    data = loaded("image-folder", tmp_path, path=str(place))
    np.testing.assert_array_equal(data.items[:], as_items(PHOTO[:2]))
    assert data.labels is None
    assert "a.png lies, as 1 more, in no folder" in refusal("image-folder", tmp_path, path=str(place), labels="folders")


def test_linked_classes_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    unpacked(tmp_path / "elsewhere", {"0.png": formats.encoded(PHOTO[0])})
    place = unpacked(tmp_path / "in", {"b/1.png": formats.encoded(PHOTO[1])})
    (place / "a").symlink_to(tmp_path / "elsewhere")
    (place / "b" / "again").symlink_to(place)
    assert loaded("image-folder", tmp_path, path=str(place)).label_names == ("a", "b")


@pytest.mark.parametrize("content", [{}, {"a.txt": b"text"}])
def test_no_images(tmp_path: Path, content: dict[str, bytes]) -> None:
    place = unpacked(tmp_path / "in", content)
    place.mkdir(exist_ok=True)
    assert "; expected files that end as .png or .jpg do" in refusal("image-folder", tmp_path, path=str(place))


def test_absent(tmp_path: Path) -> None:
    assert "does not exist; put the images there" in refusal("image-folder", tmp_path, path=str(tmp_path / "no"))
    message = refusal("celebahq", tmp_path, path=str(tmp_path / "no"))
    assert "gdown 1badu11NqxGf6qM3PTTooQDJvQbejgbTv -O data/CelebAMask-HQ.zip" in message
    (tmp_path / "a.zip").write_bytes(b"PK no zip")
    assert "neither a folder nor a zip file" in refusal("image-folder", tmp_path, path=str(tmp_path / "a.zip"))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = formats.write_zip(tmp_path / "a.zip", {"a.png": bytes(1 << 21)})
    monkeypatch.setattr(listing, "_SMALL", 1 << 20)
    monkeypatch.setattr(listing, "_RATIO", 100)
    assert "as no image does" in refusal("image-folder", tmp_path, path=str(path))
    monkeypatch.setattr(listing, "_RATIO", 10**6)
    monkeypatch.setattr(listing, "_LARGEST", 1 << 20)
    assert "as no image does" in refusal("image-folder", tmp_path, path=str(path))


def test_a_size_that_lies_gains_nothing(tmp_path: Path) -> None:
    path = formats.write_zip(tmp_path / "a.zip", {"a.png": formats.encoded(PHOTO[0]), "b.png": bytes(5000)})
    content = path.read_bytes()
    # The header at the end of the file declares 5000 bytes for b.png; let it say 50.
    path.write_bytes(content.replace((5000).to_bytes(4, "little"), (50).to_bytes(4, "little")))
    assert "1 of 2 images cannot be read" in refusal("image-folder", tmp_path, path=str(path))


def test_names_that_climb_out_of_a_zip_file_stay_names(tmp_path: Path) -> None:
    path = formats.write_zip(tmp_path / "a.zip", {"../../out/a.png": formats.encoded(PHOTO[0])})
    assert len(loaded("image-folder", tmp_path, path=str(path)).items) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "store"]


def test_a_locked_zip_file(tmp_path: Path) -> None:
    path = formats.write_zip(tmp_path / "a.zip", {"a.png": formats.encoded(PHOTO[0])})
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert zipfile.ZipFile(path).infolist()[0].flag_bits & 1
    assert "locked with a password" in refusal("image-folder", tmp_path, path=str(path))


@pytest.mark.parametrize("pack", [False, True])
def test_celebamask_as_it_is_published(tmp_path: Path, pack: bool) -> None:
    files = formats.celebamask_files(count=12)
    place = formats.write_zip(tmp_path / "a.zip", files) if pack else unpacked(tmp_path / "in", files)
    data = loaded("celebahq", tmp_path, path=str(place), resolution=8)
    assert data.items.shape == (12, 3, 8, 8)
    order = sorted(range(12), key=str)
    assert {name: values.tolist() for name, values in data.attributes.items()} == {
        "Male": [i % 2 == 0 for i in order],
        "Smiling": [i % 3 == 0 for i in order],
        "Young": [i % 4 < 2 for i in order],
    }
    assert data.provenance["resolution"] == "8 x 8"
    assert "lanczos" in data.provenance["scaling"]


def test_celeba_beside_its_table(tmp_path: Path) -> None:
    rows = {f"{i:06}.jpg": [i == 2, True] for i in range(1, 4)}
    place = unpacked(tmp_path / "img", {name: formats.encoded(PHOTO[0], "JPEG") for name in rows})
    (tmp_path / "list_attr_celeba.txt").write_text(formats.attribute_text(["Male", "Young"], rows))
    data = loaded("celebahq", tmp_path, path=str(place))
    assert data.attributes["Male"].tolist() == [False, True, False]
    assert data.attributes["Young"].all()


def test_a_table_of_other_numbers_needs_a_mapping(tmp_path: Path) -> None:
    # CelebA-HQ's image 1 is CelebA's 000005: matched by number it would get the attributes of another face.
    rows = {f"{i:06}.jpg": [i == 5] for i in range(1, 7)}
    place = unpacked(tmp_path / "img", {f"{i}.png": formats.encoded(PHOTO[i]) for i in (0, 1)})
    table = tmp_path / "table.txt"
    table.write_text(formats.attribute_text(["Male"], rows))
    message = refusal("celebahq", tmp_path, path=str(place), attributes=str(table))
    assert "no line for 2 of 2 images, the first is 0" in message
    assert "mapping" in message
    mapping = tmp_path / "mapping.txt"
    mapping.write_text("idx  orig_idx  orig_file\n0   2   000003.jpg\n1  4  000005.jpg\n")
    data = loaded("celebahq", tmp_path, path=str(place), attributes=str(table), mapping=str(mapping))
    assert data.attributes["Male"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no attribute file"),
        ("a\nb\nc\n", "no attribute file"),
        ("1\nA B\nx.jpg 1\n", "t:3  expected an image and 2 values"),
        ("1\nA\nx.jpg 0\n", "t:3  expected"),
        ("2\nA\nx.jpg 1\nx.jpg 1\n", "t:4  x.jpg stands there twice"),
        ("3\nA\nx.jpg 1\n\n", "says 3 images and lists 1"),
    ],
)
def test_tables_of_something_else(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        parse_attributes(text, "t")


def test_a_mapping_of_something_else() -> None:
    with pytest.raises(DataError, match="m:3  expected"):
        parse_mapping("idx orig file\n0 1 2.jpg\nx y\n", "m")


def test_no_table(tmp_path: Path) -> None:
    place = unpacked(tmp_path / "in", {"0.png": formats.encoded(PHOTO[0])})
    assert "no attributes within or beside it" in refusal("celebahq", tmp_path, path=str(place))
    message = refusal("celebahq", tmp_path, path=str(place), attributes=str(tmp_path / "no.txt"))
    assert "no.txt: cannot be read (No such file or directory)" in message


def test_procedural_images_depend_on_their_row_alone() -> None:
    few = build("data", "procedural", {"count": 5, "resolution": 12, "seed": 3}).load()
    many = build("data", "procedural", {"count": 400, "resolution": 12, "seed": 3}).load()
    np.testing.assert_array_equal(few.items[:], many.items[:5])
    assert few.labels is not None
    assert many.labels is not None
    assert few.labels.tolist() == many.labels[:5].tolist()
    assert sorted(set(many.labels.tolist())) == list(range(10))
    assert len(many.attributes) == 40
    assert all(0.2 < values.mean() < 0.8 for values in many.attributes.values())
    other = build("data", "procedural", {"count": 5, "resolution": 12, "seed": 4}).load()
    assert (few.items[:] != other.items[:]).any()
    assert "stand-ins" in many.provenance["source"]
