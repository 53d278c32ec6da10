"""Runs of experts that read classes, stopped anywhere: they end with the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest
from whole_runs import TRAINED, Bomb, KilledError, results, run

from mixvel_core.artifacts.files import read_json

CONDITIONAL = (
    "condition={class: labels}",
    "partition={use: labels, groups: [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]}",
    "expert.train.held_out=0.1",
    "expert.train.microbatch=3",
    "monolith=null",
    "routers={p: fixed}",
    "sample.methods={mixed: {selector: mixture}}",
)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    run(TRAINED, folder, *CONDITIONAL, stage="evaluate")
    return folder


def test_stopped_again_and_again(straight: Path, tmp_path: Path) -> None:
    """In the middle of trainings, between networks, between stages."""
    stops = 0
    for fuse in range(5, 1000, 4):
        try:
            run(TRAINED, tmp_path, *CONDITIONAL, stage="evaluate", progress=Bomb(fuse=fuse))
        except KilledError:
            stops += 1
        else:
            break
    assert stops >= 3
    assert results(tmp_path) == results(straight)
    config = read_json(straight / "experts/1/config.json")
    assert [(spec["name"], spec["classes"]) for spec in config["conditions"]] == [("class", 10)]


def test_side_by_side_and_stopped(straight: Path, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(TRAINED, tmp_path, *CONDITIONAL, "launcher.parallel=2", stage="evaluate", progress=Bomb(fuse=20))
    run(TRAINED, tmp_path, *CONDITIONAL, "launcher.parallel=2", stage="evaluate")
    assert results(tmp_path) == results(straight)
