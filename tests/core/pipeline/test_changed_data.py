"""Data that change behind a run: it says so, also half-way, and goes on with its own shards unless told otherwise."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from command import Command
from PIL import Image
from whole_runs import TRAINED, save_classes, snapshot

from mixvel_core.artifacts.files import read_json

RECIPE = "recipe.yaml"
LINE = "out: {source} have changed (names, sizes or times of files) since its shards were made; it goes on with these. "


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIXVEL_DATA", str(tmp_path / "store"))
    groups = "{use: labels, groups: [[0], [1, 2, 3, 4], [5, 6, 7, 8, 9]]}"
    Path(RECIPE).write_text(TRAINED.replace(groups, "labels"))


def pictures(folder: str, *names: str) -> None:
    for seed, name in enumerate(names):
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)


def pets(*classes: str) -> None:
    pictures("pets", *(f"{name}/{i}.png" for name in classes for i in range(4)))


def partition(mixvel: Command, data: str, *more: str, out: str = "out") -> str:
    done = mixvel("run", RECIPE, f"data={data}", "--stage", "partition", "--out", out, *more)
    assert done.code == 0, done.err
    return done.out


def test_images_that_were_added_are_noticed_and_taken_if_asked(mixvel: Command) -> None:
    pets("cat", "dog")
    folder = "{use: image-folder, path: pets}"
    assert "changed" not in partition(mixvel, folder)
    assert "changed" not in partition(mixvel, folder)
    pets("owl")
    said = partition(mixvel, folder)
    assert LINE.format(source="images in pets") + "`--fresh` takes what is there now" in said
    assert "nothing to do" in said
    assert LINE.format(source="images in pets") in mixvel("check", RECIPE, f"data={folder}", "--out", "out").out
    assert "12 items in 3 shards" in partition(mixvel, folder, "--fresh")
    assert "changed" not in partition(mixvel, folder)


def test_a_run_that_is_half_made_goes_on_with_its_shards_and_says_so(mixvel: Command) -> None:
    data = "data={use: numpy, path: data.npz, labels: labels, range: as-is}"
    save_classes(Path("data.npz"), seed=1)
    assert mixvel("run", RECIPE, data, "--expert", "0", "--out", "out").code == 0
    shards = snapshot(Path("out/shards"))
    save_classes(Path("data.npz"), seed=2, each=13)
    done = mixvel("run", RECIPE, data, "--expert", "1", "--out", "out")
    assert LINE.format(source="NumPy data in data.npz") + "`--fresh all` takes" in done.out
    assert snapshot(Path("out/shards")) == shards
    Path("data.npz").unlink()
    assert mixvel("run", RECIPE, data, "--expert", "2", "--out", "out").code == 0


def test_the_same_items_give_the_same_shards_whenever_their_files_were_written(mixvel: Command) -> None:
    data = "{use: numpy, path: data.npz, labels: labels, range: as-is}"
    save_classes(Path("data.npz"), seed=1)
    partition(mixvel, data)
    os.utime("data.npz", ns=(1, 1))
    partition(mixvel, data, out="later")
    one, other = (read_json(Path(folder, "shards/done.json"))["files"] for folder in ("out", "later"))
    assert {name: facts["checksum"] for name, facts in one.items()} == {
        name: facts["checksum"] for name, facts in other.items()
    }
