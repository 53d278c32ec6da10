"""What could not be read once is tried again: by then it may have been mended."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixvel_core.errors import DataError
from mixvel_core.protocols.progress import SILENT
from mixvel_images.blocks import Workbench
from mixvel_images.prepare import prepare
from mixvel_images.sources import ImageFolder

GOOD = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Eight pictures of two classes."""
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(GOOD).save(tmp_path / "pets" / name / f"{i}.png")
    return tmp_path / "pets"


def source(pets: Path, unreadable: str = "refuse") -> ImageFolder:
    return ImageFolder(path=str(pets), store=str(pets.parent / "store"), unreadable=unreadable)  # type: ignore[arg-type]  # one of two texts


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of pictures that cannot be read, whatever their files hold, as without a codec or a right."""
    names: list[str] = []
    from mixvel_images.files import ImageFiles

    opened = ImageFiles.open

    def refusing(self: ImageFiles, index: int) -> Image.Image:
        if self.paths[index] in names:
            raise PermissionError(13, "Permission denied")
        return opened(self, index)

    monkeypatch.setattr(ImageFiles, "open", refusing)
    return names


def test_a_picture_that_is_mended_is_taken_and_the_message_goes(pets: Path, unreadable: list[str]) -> None:
    unreadable.append("dog/3.png")
    with pytest.raises(DataError, match=r"1 of 8 images cannot be read: .*dog/3\.png"):
        source(pets).load()
    assert len(source(pets, "skip").load().items) == 7
    store = prepare(source(pets).collector, source(pets).form, pets.parent / "store", SILENT)
    made = (store.folder / "store.json").stat().st_mtime_ns
    # As long as nothing is mended, it is not made again.
    assert len(source(pets, "skip").load().items) == 7
    unreadable.clear()
    assert len(source(pets).load().items) == 8
    assert (store.folder / "store.json").stat().st_mtime_ns != made


def test_a_block_with_a_failure_is_not_kept_by_a_preparation_that_was_stopped(tmp_path: Path) -> None:
    from mixvel_images.blocks import Block, checksum_of

    bench = Workbench(tmp_path / "bench", 3, (3, 8, 8))
    items = np.zeros((3, 3, 8, 8), np.uint8)
    failed = Block(start=0, stop=3, failed=((1, "no codec"),), notes={}, highest=0, checksum=checksum_of(items))
    bench.put(failed, items)
    assert Workbench(tmp_path / "bench", 3, (3, 8, 8)).done == {}


@pytest.mark.parametrize("lost", ["store.json", "items.npy and store.json"])
def test_a_store_without_its_record_is_prepared_again(pets: Path, lost: str) -> None:
    first = source(pets).load()
    [folder] = (pets.parent / "store").iterdir()
    for name in lost.split(" and "):
        (folder / name).unlink()
    again = source(pets).load()
    assert (again.items[:] == first.items[:]).all()
    shutil.rmtree(folder)
