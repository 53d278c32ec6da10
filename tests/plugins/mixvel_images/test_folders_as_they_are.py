"""Folders and zip files as users have them, from the command line: what is read is right, what is not is counted."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import original_formats as formats
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import Command, Done
from PIL import Image
from whole_runs import EXACT

RECIPE = EXACT.replace("gaussian-mixture\n", "empirical\n")
PHOTO = [formats.encoded(formats.photograph(6, 6, i)) for i in range(4)]
GREY = [formats.encoded(formats.photograph(6, 6, i).convert("L")) for i in range(4)]
PETS = {f"{c}/{i}.png": PHOTO[i] for c in ("cat", "dog") for i in range(2)}


@pytest.fixture
def partition(mixvel: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Done]:
    """`mixvel run recipe.yaml 'data={...}' --stage partition` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIXVEL_DATA", str(tmp_path / "store"))
    Path("recipe.yaml").write_text(RECIPE)
    return lambda data: mixvel("run", "recipe.yaml", f"data={{{data}}}", "--stage", "partition", "--out", "out")


def folder(files: Mapping[str, bytes], root: str = "pets") -> None:
    for name, content in files.items():
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def zipped(files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile("pets.zip", "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # as other programs write it, backslashes and all
            archive.writestr(info, content)


def stored(k: int = 0) -> tuple[np.ndarray, dict[str, Any]]:
    return np.load(f"out/shards/{k}/items.npy"), json.loads(Path("out/shards/data.json").read_text())


MORE = {
    "cat/.thumbnails/0.png": PHOTO[3],
    ".ipynb_checkpoints/0.png": PHOTO[3],
    "__MACOSX/cat/0.png": PHOTO[3],
    "@eaDir/0.png": PHOTO[3],
    "dog/.DS_Store": b"x",
    "dog/Thumbs.db": b"x",
    "notes.txt": b"x",
    "dog/2.HEIC": b"x",
    "dog/README": b"x",
    "owl/readme.md": b"x",
}


@pytest.mark.parametrize("kind", ["folder", "zip", "zip with backslashes", "zip with dots"])
def test_what_is_left_out_is_counted_in_one_line(partition: Callable[[str], Done], kind: str) -> None:
    files = PETS | MORE
    if kind == "folder":
        folder(files)
    else:
        start, between = "./" if kind == "zip with dots" else "", "\\" if kind == "zip with backslashes" else "/"
        zipped({start + name.replace("/", between): content for name, content in files.items()})
    done = partition(f"use: image-folder, path: pets{'' if kind == 'folder' else '.zip'}")
    assert done.code == 0, done.err
    for part in ("10 files, 4 images, left out: ", "1 .txt", "1 .heic", "1 without an ending", "1 .md"):
        assert part in done.out
    assert "4 hidden or system folders (" in done.out
    assert "2 hidden or system files (dog/.DS_Store, dog/Thumbs.db); folders without an image: owl" in done.out
    assert "partition: 4 items in 2 shards; 0 cat (2), 1 dog (2)" in done.out
    assert stored()[1]["label_names"] == ["cat", "dog"]


@pytest.mark.parametrize("form", ["AVIF", "JPEG2000", "TGA", "QOI", "WEBP", "TIFF"])
def test_every_picture_that_pillow_reads_is_read(partition: Callable[[str], Done], form: str) -> None:
    Image.init()
    if form not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {form}")
    ending = next(end for end, kind in Image.registered_extensions().items() if kind == form)
    folder({f"{c}/{i}{ending}": formats.encoded(formats.photograph(16, 16, i), form) for c in "ab" for i in range(2)})
    done = partition("use: image-folder, path: pets")
    assert "4 files, 4 images\n" in done.out, done.err


def test_a_folder_that_may_not_be_read_is_named(partition: Callable[[str], Done], monkeypatch: Any) -> None:
    folder(PETS)
    listed = os.scandir

    def scandir(path: Any) -> Any:
        # Root reads everything.
        if os.fspath(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    done = partition("use: image-folder, path: pets")
    assert (done.code, done.problems) == (
        3,
        ["error: pets/dog: cannot be read (Permission denied); allow it, or take the folder away"],
    )


def test_links_to_nowhere_are_images_that_cannot_be_read_or_counted(partition: Callable[[str], Done]) -> None:
    folder(PETS)
    Path("pets/owl").symlink_to("gone")
    assert "1 links to nowhere (owl)" in partition("use: image-folder, path: pets").out
    Path("pets/cat/2.png").symlink_to("gone.png")
    shutil.rmtree("out")
    done = partition("use: image-folder, path: pets")
    assert done.code == 3
    assert "1 of 5 images cannot be read: pets/cat/2.png (" in done.err
    assert "No such file" in done.err


REFUSED: dict[str, tuple[Mapping[str, bytes], str, str]] = {
    "train and test": (
        {f"{split}/{name}": content for split in ("train", "test") for name, content in PETS.items()},
        "",
        "pets: test and train look like parts of a data set, not classes; add `within: train` to read",
    ),
    "in a folder of their own": (
        {f"photos/{split}/{name}": content for split in ("Val", "Training") for name, content in PETS.items()},
        "",
        "add `within: photos/Training`",
    ),
    "splits of a year": (
        {f"{split}2017/{name}": content for split in ("train", "val") for name, content in PETS.items()},
        "",
        "add `within: train2017`",
    ),
    "images and masks": ({f"{part}/0.png": PHOTO[0] for part in ("images", "masks")}, "", "add `within: images`"),
    "one picture beside class folders": (
        {**PETS, "cover.png": PHOTO[0]},
        "",
        "pets: cover.png lies in no folder that could name its class beside the folders cat, dog; move it",
    ),
    "and a folder around all": (
        {f"photos/{name}": content for name, content in {**PETS, "cover.png": PHOTO[0]}.items()},
        "",
        "photos/cover.png lies in no folder",
    ),
    "no such part": (PETS, "within: bird", "has no files within 'bird'; it holds cat, dog"),
    "16-bit that is dark": (
        {f"{c}/0.png": formats.encoded(Image.fromarray(np.full((6, 6), 4095, np.uint16))) for c in "ab"},
        "",
        "16-bit grey pictures reach 4095 of 65535 only, so that all would be nearly black; add `bits: 12`",
    ),
    "a range of its own": (
        {f"{c}/0.pgm": b"P5 2 2 65535\n" + bytes(range(8)) for c in "ab"},
        "",
        "/a/0.pgm: cannot be read (mode I has no range that 8-bit colours could be taken from), nor",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("pack", [False, True])
def test_what_is_not_clear_is_one_line_with_the_mend(partition: Callable[[str], Done], name: str, pack: bool) -> None:
    files, options, said = REFUSED[name]
    (zipped if pack else folder)(files)
    done = partition(f"use: image-folder, path: pets{'.zip' if pack else ''}" + (f", {options}" if options else ""))
    assert (done.code, len(done.problems)) == (3, 1), done.err
    assert said.replace("pets:", "pets.zip:" if pack else "pets:") in done.err
    assert not Path("out").exists()


@pytest.mark.parametrize("options", ["within: train", "labels: folders", "labels: none, unreadable: skip"])
def test_train_and_test_are_what_the_recipe_states(partition: Callable[[str], Done], options: str) -> None:
    zipped({f"{split}/{name}": content for split in ("train", "test") for name, content in PETS.items()})
    done = partition(f"use: image-folder, path: pets.zip, {options}")
    if "none" in options:
        assert "the data have no labels" in done.err
    else:
        assert stored()[1]["label_names"] == (["cat", "dog"] if "within" in options else ["test", "train"])


def test_numbered_folders_are_the_labels_of_their_numbers(partition: Callable[[str], Done]) -> None:
    folder({f"{c}/{i}.png": PHOTO[i] for c in (0, 2, 10) for i in range(2)})
    done = partition("use: image-folder, path: pets")
    assert "partition: 6 items in 3 shards; 0 (2), 2 (2), 10 (2)" in done.out


@pytest.mark.parametrize(
    ("pictures", "options", "shape", "said"),
    [
        (GREY, "", (1, 6, 6), ""),
        (GREY, "channels: 3", (3, 6, 6), "4 images are grey, in three equal channels"),
        (PHOTO, "channels: 1", (1, 6, 6), "4 images are coloured, in their brightness"),
        ([GREY[0], *PHOTO[1:]], "", (3, 6, 6), "1 images are grey, in three equal channels"),
    ],
)
@pytest.mark.parametrize("use", ["image-folder", "parquet"])
def test_grey_pictures_stay_one_channel(
    partition: Callable[[str], Done], pictures: list[bytes], options: str, shape: tuple[int, ...], said: str, use: str
) -> None:
    if use == "parquet":
        pq.write_table(pa.table({"image": pictures, "label": [0, 0, 1, 1]}), "pets")
    else:
        folder({f"{'ab'[i // 2]}/{i}.png": picture for i, picture in enumerate(pictures)})
        use += ", labels: auto"
    label = ", label: label" if use == "parquet" else ""
    done = partition(f"use: {use}, path: pets{label}" + (f", {options}" if options else ""))
    assert done.code == 0, done.err
    assert stored()[0].shape[1:] == shape
    assert use == "parquet" or said in done.out


def _tagged(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return formats.encoded(formats.photograph(6, 6, 3), exif=exif)


DEEP = Image.fromarray((np.arange(36).reshape(6, 6) * 1820).astype(np.uint16))
KINDS: dict[str, bytes] = {
    "16-bit grey": formats.encoded(DEEP),
    "16-bit grey TIFF": formats.encoded(DEEP, "TIFF"),
    "transparent": formats.encoded(Image.new("RGBA", (6, 6), (255, 0, 255, 0))),
    "transparent grey": formats.encoded(Image.new("LA", (6, 6), (0, 90))),
    "palette": formats.encoded(formats.photograph(6, 6, 2).quantize(8)),
    "black and white": formats.encoded(Image.new("1", (6, 6), 1)),
    "CMYK": formats.encoded(formats.photograph(6, 6, 1).convert("CMYK"), "JPEG"),
    "on its side": _tagged(6),
    "film": formats.encoded(formats.photograph(6, 6, 1), "GIF", more=[formats.photograph(6, 6, 2)]),
    "floats": formats.encoded(Image.new("F", (6, 6), 0.5), "TIFF"),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("streaming", [False, True])
def test_one_file_is_the_same_pixels_wherever_it_lies(
    partition: Callable[[str], Done], monkeypatch: pytest.MonkeyPatch, name: str, streaming: bool
) -> None:
    pictures = [PHOTO[0], KINDS[name]]
    pq.write_table(pa.table({"image": pictures, "label": [0, 1]}), "pets.parquet")
    folder({f"{'ab'[i]}/0.png": picture for i, picture in enumerate(pictures)})
    one = partition(f"use: parquet, path: pets.parquet, label: label, streaming: {str(streaming).lower()}")
    if one.code == 0:
        Path("out").rename("from-parquet")
    two = partition("use: image-folder, path: pets")
    assert one.code == two.code == (3 if name == "floats" else 0), one.err + two.err
    if one.code:
        assert "mode F has no range" in one.err
        assert "mode F has no range" in two.err
        return
    if streaming:
        values = pq.read_table("from-parquet/shards/1/items-00000.parquet")["item"].to_pylist()
        found = np.frombuffer(values[0], np.uint8).reshape(1, 3, 6, 6)
    else:
        found = np.load("from-parquet/shards/1/items.npy")
    np.testing.assert_array_equal(found, stored(1)[0])
    assert ("hold several pictures" in two.out) == (name == "film")
    assert ("have transparent pixels, over white" in two.out) == name.startswith("transparent")
