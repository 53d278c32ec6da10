"""Images from a zip file through a run: shards by attributes, named in the report; without the data, one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import original_formats as formats
import pytest
import torch
from attrs import evolve
from report_runs import IMAGES, scored
from trainable import CPU, LevelTask, short, vectors

from mixvel_core.errors import DataError
from mixvel_core.protocols import Job
from mixvel_core.training.batches import Batches
from mixvel_core.training.world import World


def data(use: str, path: Path) -> str:
    return f"data={{use: {use}, path: {path}, store: {path.parent / 'store'}, resolution: 8}}"


def test_shards_by_attributes_are_named_in_the_report(tmp_path: Path) -> None:
    path = formats.write_zip(tmp_path / "faces.zip", formats.celebamask_files(count=12))
    rare = "partition={use: attributes, attributes: [Male, Smiling], smallest: 3}"
    run = scored(IMAGES, tmp_path / "run", data("celebahq", path), rare)
    # Both: 0 and 6. Male: 2, 4, 8, 10. Smiling: 3 and 9. Neither: 1, 5, 7, 11. The two pairs are rare.
    assert [part.count for part in run.shards.parts] == [6, 6]
    report = run.report(tmp_path / "run")
    page = report.path.read_text()
    assert "Male, not Smiling; merged into it: Male, Smiling (2 items)" in page
    assert "CelebAMask-HQ-attribute-anno.txt" in page
    shards = json.loads(report.json_path.read_text())["shards"]
    assert [shard["attributes"]["Male"] for shard in shards] == [0, 6]
    assert shards[1]["name"].startswith("Male, not Smiling")


def _flipping(items: np.ndarray, flips: bool = True, size: int = 1) -> list[Batches]:
    task = LevelTask(items=items, options=evolve(short(batch=8), horizontal_flips=flips), shards=None)
    job = Job(name="job", task=task, seed=1, folder=Path())
    return [Batches(job, CPU, World(rank=rank, size=size)) for rank in range(size)]


def test_half_of_the_images_are_mirrored_whoever_draws_them() -> None:
    items = np.random.default_rng(0).integers(0, 256, (8, 3, 4, 5), dtype=np.uint8)
    [whole], [plain] = _flipping(items), _flipping(items, flips=False)
    parts = _flipping(items, size=2)
    mirrored = 0
    for step in range(40):
        batch, straight = whole.at(step), plain.at(step).x_0
        flipped = (batch.x_0 == straight.flip(-1)).flatten(1).all(1)
        assert (flipped | (batch.x_0 == straight).flatten(1).all(1)).all()
        assert torch.equal(torch.cat([part.at(step).x_0 for part in parts]), batch.x_0)
        mirrored += int(flipped.sum())
    # 320 coins: within five standard deviations of half.
    assert abs(mirrored - 160) < 5 * 80**0.5


def test_vectors_cannot_be_mirrored() -> None:
    with pytest.raises(DataError, match="are no images; leave out horizontal_flips"):
        _flipping(vectors())
