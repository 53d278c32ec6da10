"""The launcher that trains in its own process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from attrs import evolve
from trainable import StoppedError, Watching, level_job, run

from mixvel_core.errors import RecipeError
from mixvel_core.protocols import Job
from mixvel_core.training.checkpoint import trained_path
from mixvel_local.launcher import LocalLauncher


def launcher(parallel: int = 1, threads: int | None = 1) -> LocalLauncher:
    return LocalLauncher(device="cpu", threads=threads, parallel=parallel)


def jobs_in(folder: Path) -> list[Job]:
    return [evolve(level_job(folder / f"{k}", seed=k), name=f"expert-{k}") for k in range(3)]


@pytest.mark.parametrize("parallel", [1, 2, 8])
def test_jobs_are_trained_as_train_would(tmp_path: Path, parallel: int) -> None:
    jobs = jobs_in(tmp_path)
    launcher(parallel).run(jobs, Watching())
    for k, job in enumerate(jobs):
        run(level_job(tmp_path / "alone" / f"{k}", seed=k))
        assert trained_path(job.folder).read_bytes() == trained_path(tmp_path / "alone" / f"{k}").read_bytes()


@pytest.mark.parametrize("stop", [0, 99])
def test_threads_hold_while_training_only(tmp_path: Path, stop: int) -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    def on_update(done: int, note: str) -> None:
        seen.append(torch.get_num_threads())
        if done == stop:
            raise StoppedError

    try:
        launcher(threads=before + 1).run(jobs_in(tmp_path), Watching(on_update=on_update))
    except StoppedError:
        assert stop == 0
    assert set(seen) == {before + 1}
    assert torch.get_num_threads() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks what happens where there is no GPU")
def test_an_absent_gpu_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="device cuda is not available here"):
        LocalLauncher(device="cuda", threads=None, parallel=1).run(jobs_in(tmp_path), Watching())
