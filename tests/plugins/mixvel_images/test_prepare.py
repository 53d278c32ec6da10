"""Preparation: the rules of pixels, unreadable images, resuming, and what is refused."""

from __future__ import annotations

import io
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import original_formats as formats
import pytest
from attrs import evolve, field, frozen
from PIL import Image

from mixvel_core.artifacts.lock import locked
from mixvel_core.data.decoding import decoded
from mixvel_core.errors import DataError
from mixvel_core.protocols import PreparedSource
from mixvel_core.protocols.progress import Silent
from mixvel_images import blocks
from mixvel_images.collection import Collection, Form, formed
from mixvel_images.prepare import store_of
from mixvel_images.sources import ImageSource


@frozen(kw_only=True, eq=False)
class Given:
    """Images that are given; ``stop_at`` interrupts the preparation there. Opened images are noted."""

    images: list[Any]
    stop_at: int | None = None
    opened: list[int] = field(factory=list)
    lock: threading.Lock = field(factory=threading.Lock)
    name: str = "given"

    @property
    def names(self) -> list[str]:
        return [f"image {i}" for i in range(len(self.images))]

    def open(self, i: int) -> Image.Image:
        if i == self.stop_at:
            raise KeyboardInterrupt
        with self.lock:
            self.opened.append(i)
        content = self.images[i]
        return Image.open(io.BytesIO(content)) if isinstance(content, bytes) else content

    def identity(self) -> dict[str, object]:
        return {"count": len(self.images)}

    def collect(self) -> Collection:
        count = np.arange(len(self.images))
        return Collection(pictures=self, labels=count, attributes={"odd": count % 2 == 1})


@frozen(kw_only=True, eq=False)
class GivenSource(ImageSource):
    collector: Given
    form: Form


def source(home: Path, images: list[Any], form: Form | None = None, **options: Any) -> ImageSource:
    return GivenSource(collector=Given(images=images, **options), form=form or Form(), store=str(home))


PHOTOS: list[Image.Image] = [formats.photograph(5, 4, i) for i in range(10)]
ITEMS = np.stack([np.asarray(image).transpose(2, 0, 1) for image in PHOTOS])


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_MOST", 2)


def test_prepared_once_and_read_from_disk(tmp_path: Path) -> None:
    made = source(tmp_path, list(PHOTOS))
    assert isinstance(made, PreparedSource)
    made.prepare(Silent())
    data = made.load()
    assert isinstance(data.items, np.memmap)
    np.testing.assert_array_equal(data.items, ITEMS)
    assert data.labels is not None
    assert data.labels.tolist() == list(range(10))
    assert data.attributes["odd"].tolist() == [False, True] * 5
    assert isinstance(made.collector, Given)
    assert sorted(made.collector.opened) == sorted([0, *range(10)])
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.usefixtures("small_blocks")
def test_killed_and_resumed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        source(tmp_path, list(PHOTOS), stop_at=7).load()
    again = source(tmp_path, list(PHOTOS))
    np.testing.assert_array_equal(again.load().items[:], ITEMS)
    assert isinstance(again.collector, Given)
    assert {6, 7} <= set(again.collector.opened)
    assert 2 not in again.collector.opened


@pytest.mark.usefixtures("small_blocks")
def test_a_damaged_block_and_a_torn_line_are_done_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        source(tmp_path, list(PHOTOS), stop_at=9).load()
    [work] = tmp_path.glob("*.unfinished")
    items = np.lib.format.open_memmap(work / "items.npy", mode="r+")
    items[2] ^= 255
    items.flush()
    with (work / "blocks.jsonl").open("a") as file:
        file.write('{"start": 8, "st')
    np.testing.assert_array_equal(source(tmp_path, list(PHOTOS)).load().items[:], ITEMS)


@pytest.mark.usefixtures("small_blocks")
def test_unreadable_images_are_named_and_counted(tmp_path: Path) -> None:
    whole = formats.encoded(PHOTOS[0])
    images = [*PHOTOS[:3], whole[:-30], *PHOTOS[4:7], b"no image", None, PHOTOS[9]]
    refusing = source(tmp_path, images)
    for _ in range(2):
        with pytest.raises(DataError, match=r"3 of 10 images cannot be read: image 3 \(.+\), image 7 \(.+\), image 8"):
            refusing.load()
    data = evolve(refusing, unreadable="skip").load()
    kept = [0, 1, 2, 4, 5, 6, 9]
    np.testing.assert_array_equal(data.items[:], ITEMS[kept])
    assert data.labels is not None
    assert data.labels.tolist() == kept
    assert data.attributes["odd"].tolist() == [i % 2 == 1 for i in kept]
    assert data.provenance["left out"].startswith("3 images that cannot be read: image 3 (")
    assert data.provenance["count"] == "7"


def test_nothing_readable(tmp_path: Path) -> None:
    for form in (Form(), Form(resolution=4)):
        with pytest.raises(DataError, match=r"image 0: cannot be read.*nor can any of the 2 images"):
            evolve(source(tmp_path, [b"no", b"none"], form), unreadable="skip").load()


def test_mixed_sizes_need_a_resolution(tmp_path: Path) -> None:
    images = [PHOTOS[0], formats.photograph(7, 3)]
    with pytest.raises(DataError, match="image 1: has 7 x 3 pixels, and the first image 5 x 4; set `resolution`"):
        source(tmp_path, images).load()
    data = source(tmp_path, images, Form(resolution=4)).load()
    assert data.items.shape == (2, 3, 4, 4)
    assert data.provenance["cropped"] == "2 images were no squares"
    assert data.provenance["enlarged"] == "1 images were smaller"


def test_bombs_are_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    with pytest.raises(DataError, match=r"1 of 2 images cannot be read: image 1 \(Image size \(48 pixels\) exceeds"):
        source(tmp_path, [formats.encoded(PHOTOS[0]), formats.encoded(formats.photograph(8, 6))]).load()


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    first, second = source(tmp_path, list(PHOTOS)), source(tmp_path, list(PHOTOS))
    lines: list[str] = []

    @frozen(kw_only=True)
    class Listening(Silent):
        def line(self, text: str) -> None:
            lines.append(text)

    store = store_of(first.collector, Form(), tmp_path)
    workbench = store.folder.with_name(f"{store.folder.name}.unfinished")
    with ThreadPoolExecutor(1) as pool:
        with locked(workbench):
            waiting = pool.submit(second.prepare, Listening())
            while not lines:
                time.sleep(0.01)
            assert not waiting.done()
        waiting.result()
    assert "waiting" in lines[0]
    first.load()
    assert isinstance(first.collector, Given)
    assert first.collector.opened == []
    assert [path.name for path in tmp_path.iterdir()] == [store.folder.name]


def test_a_store_that_was_cut_short(tmp_path: Path) -> None:
    source(tmp_path, [PHOTOS[0]]).load()
    [store] = tmp_path.iterdir()
    path = store / "items.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"items\.npy is missing or cut short.*remove it"):
        source(tmp_path, [PHOTOS[0]]).load()
    for record in ("{", "[]", "{}"):
        (store / "store.json").write_text(record)
        with pytest.raises(DataError, match="a damaged store"):
            source(tmp_path, [PHOTOS[0]]).load()


def test_contents_that_changed_are_noticed(tmp_path: Path) -> None:
    made = source(tmp_path, [PHOTOS[0]])
    made.load()
    [store] = tmp_path.iterdir()
    path = store / "items.npy"
    content, before = bytearray(path.read_bytes()), path.stat()
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="a damaged store"):
        made.load()
    # With the time of change put back, the run that opens the store first reads it all and notices.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    made.load()
    with pytest.raises(DataError, match="a damaged store"):
        made.prepare(Silent())


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(DataError, match="set MIXVEL_DATA"):
        source(tmp_path, [PHOTOS[0]]).load()


def colours(image: Image.Image) -> list[int]:
    values: list[int] = decoded(image, 3).pixels[:, 0, 0].tolist()
    return values


def test_the_rule_of_colours() -> None:
    assert colours(Image.new("L", (2, 2), 70)) == [70, 70, 70]
    assert colours(Image.new("1", (2, 2), 1)) == [255, 255, 255]
    assert colours(Image.new("RGBA", (2, 2), (10, 20, 30, 255))) == [10, 20, 30]
    assert colours(Image.new("RGBA", (2, 2), (10, 20, 30, 0))) == [255, 255, 255]
    assert colours(Image.new("LA", (2, 2), (0, 0))) == [255, 255, 255]
    assert colours(Image.fromarray(np.full((2, 2), 0x4680, np.uint16))) == [0x46] * 3
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    assert colours(palette) == [9, 8, 7]
    with pytest.raises(ValueError, match="mode F"):
        decoded(Image.new("F", (2, 2)), 3)


@pytest.mark.parametrize("name", ["lanczos", "bicubic", "box"])
def test_scaling_averages_over_what_a_pixel_covers(name: Any) -> None:
    # Stripes finer than the new pixels: without antialiasing they come out black or white.
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (64, 32))).convert("RGB")
    made = formed(stripes, Form(resolution=8, filter=name), 3).pixels[:, 2:-2, 2:-2]
    assert np.abs(made.astype(int) - 127).max() <= 8


def test_the_middle_is_kept() -> None:
    wide = np.zeros((4, 10, 3), np.uint8)
    wide[:, 3:7] = 200
    made = formed(Image.fromarray(wide), Form(resolution=4), 3)
    assert made.notes == {"cropped"}
    assert (made.pixels == 200).all()


def test_photographs_are_turned_upright() -> None:
    image = formats.photograph(6, 4)
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", exif=exif)
    turned = formed(Image.open(io.BytesIO(buffer.getvalue())), Form(), 3).pixels
    np.testing.assert_array_equal(turned, np.rot90(np.asarray(image), -1).transpose(2, 0, 1))
