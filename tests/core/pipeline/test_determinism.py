"""One seed, one result: whatever else is in the run, however it is cut up, and however often it is run."""

from __future__ import annotations

import itertools
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from whole_runs import EXACT, TRAINED, files, results, run, save_classes, without_timings

from mixvel_core.artifacts.tensors import read_checksummed


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of two classes, and of three, the first two of which are the same."""
    place = tmp_path_factory.mktemp("data")
    for count in (2, 3):
        save_classes(place / f"{count}.npz", classes=count)
    return place


def trained(classes: Path, count: int, folder: Path, *overrides: str) -> Path:
    data = f"data={{use: numpy, path: {classes}/{count}.npz, labels: labels}}"
    run(TRAINED, folder, data, "partition=labels", *overrides, stage="experts")
    return folder


def test_another_shard_changes_no_expert_that_was_there(classes: Path, tmp_path: Path) -> None:
    two, three = trained(classes, 2, tmp_path / "two"), trained(classes, 3, tmp_path / "three")
    for k in range(2):
        mine, its = (read_checksummed(one / f"experts/{k}/model.safetensors")[0] for one in (two, three))
        assert all(np.array_equal(mine[name].numpy(), its[name].numpy()) for name in its), k
        losses = [(one / f"experts/{k}/losses.csv").read_bytes() for one in (two, three)]
        assert losses[0] == losses[1]
        # Its share of the data is another, and nothing else that it says of itself.
        config = [(one / f"experts/{k}/config.json").read_text() for one in (two, three)]
        assert re.sub(r'"fraction": [0-9.]+', "", config[0]) == re.sub(r'"fraction": [0-9.]+', "", config[1])


def test_experts_of_equal_shards_are_not_equal(tmp_path: Path) -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (8, 1, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "2.npz", items=np.concatenate([images, images]), labels=np.repeat([0, 1], 8))
    folder = trained(tmp_path, 2, tmp_path / "run")
    a, b = (read_checksummed(folder / f"experts/{k}/model.safetensors")[0] for k in range(2))
    assert any(not np.array_equal(a[name].numpy(), b[name].numpy()) for name in a if name.startswith("network."))


def test_samples_do_not_depend_on_how_many_are_moved_together(tmp_path: Path) -> None:
    run(EXACT, tmp_path / "whole", stage="sample")
    run(EXACT, tmp_path / "parts", "sample.batch=3", stage="sample")
    for name, path in files(tmp_path / "whole/samples").items():
        if name.endswith(".npz"):
            with np.load(path) as whole, np.load(tmp_path / "parts/samples" / name) as parts:
                np.testing.assert_allclose(whole["x"], parts["x"], rtol=0, atol=1e-6)
                assert np.array_equal(whole["evaluations"], parts["evaluations"])


def test_the_same_recipe_twice_gives_the_same_report_but_for_timings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        if name != "one":
            # A clock that goes on by a second whenever it is read.
            monkeypatch.setattr("mixvel_core.pipeline.parts.perf_counter", partial(next, itertools.count(0.0)))
        run(EXACT, tmp_path / name)
    assert results(tmp_path / "one") == results(tmp_path / "two")
    numbers = [without_timings(tmp_path / name / "report/report.json") for name in ("one", "two")]
    assert numbers[0] == numbers[1]
    pages = [(tmp_path / name / "report/index.html").read_text() for name in ("two", "three")]
    assert pages[0] == pages[1]
