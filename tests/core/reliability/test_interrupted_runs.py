"""Runs that were stopped anywhere, by anything, end as if they had not been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from whole_runs import EXACT, TRAINED, Bomb, KilledError, results, run


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    run(TRAINED, folder, stage="evaluate")
    return folder


def test_stopped_all_over_a_run_that_trains_nothing(tmp_path: Path) -> None:
    whole = Bomb()
    run(EXACT, tmp_path / "whole", stage="evaluate", progress=whole)
    expected = results(tmp_path / "whole")
    for fuse in range(0, whole.events, 4):
        with pytest.raises(KilledError):
            run(EXACT, tmp_path / str(fuse), stage="evaluate", progress=Bomb(fuse=fuse))
        run(EXACT, tmp_path / str(fuse), stage="evaluate")
        assert results(tmp_path / str(fuse)) == expected, f"stopped at event {fuse}"
    assert whole.events > 20


@pytest.mark.parametrize("error", [KilledError, KeyboardInterrupt])
def test_stopped_again_and_again_in_the_middle_of_everything(
    straight: Path, tmp_path: Path, error: type[BaseException]
) -> None:
    """Each attempt gets a little further: in the middle of trainings, between networks, between stages."""
    stops = 0
    for fuse in range(5, 1000, 6):
        try:
            run(TRAINED, tmp_path, stage="evaluate", progress=Bomb(fuse=fuse, error=error))
        except error:
            stops += 1
        else:
            break
    assert stops > 3
    assert results(tmp_path) == results(straight)


def test_a_training_that_never_has_the_time_to_end_in_one_go(tmp_path: Path) -> None:
    longer = "expert.train.steps=20"
    run(TRAINED, tmp_path / "straight", longer, expert=1)
    stops = 0
    while stops < 20:
        try:
            run(TRAINED, tmp_path / "often", longer, expert=1, progress=Bomb(fuse=7))
            break
        except KilledError:
            stops += 1
    assert 3 <= stops < 12
    assert results(tmp_path / "often") == results(tmp_path / "straight")


def test_side_by_side_and_stopped(straight: Path, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(TRAINED, tmp_path, "launcher.parallel=2", stage="evaluate", progress=Bomb(fuse=20))
    run(TRAINED, tmp_path, "launcher.parallel=2", stage="evaluate")
    assert results(tmp_path) == results(straight)


KILLED = """
import os, signal, sys, torch
torch.set_num_threads(1)
from pathlib import Path
from mixvel_core.artifacts.files import replacing
from whole_runs import TRAINED, run
import mixvel_core.artifacts.tensors as sealed

writes = 0
class Dying:
    def __init__(self, path): self.inner = replacing(path)
    def __enter__(self):
        global writes
        writes += 1
        path = self.inner.__enter__()
        if writes == 4:
            path.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        return path
    def __exit__(self, *error): return self.inner.__exit__(*error)

sealed.replacing = Dying
run(TRAINED, Path(sys.argv[1]), stage="evaluate")
"""


def test_killed_while_it_wrote_a_checkpoint(straight: Path, tmp_path: Path) -> None:
    helpers = Path(__file__).parents[2] / "helpers"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(helpers), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / ".lock").exists()
    assert list(tmp_path.rglob(".*.safetensors*"))
    run(TRAINED, tmp_path, stage="evaluate")
    assert results(tmp_path) == results(straight)
    assert not list(tmp_path.rglob(".*"))
