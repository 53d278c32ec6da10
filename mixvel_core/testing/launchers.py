"""What a Launcher promises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from mixvel_core.errors import ArtifactError, ConformanceError, TrainingError
from mixvel_core.progress import Silent
from mixvel_core.protocols import Job, Launcher
from mixvel_core.testing.check import require
from mixvel_core.testing.trainings import LinearTask, half_way, job, trained_by_the_loop
from mixvel_core.training.result import read_trained, trained_path

_SAME = "call mixvel_core.training.loop.train for each job, with its own seed and folder and nothing of your own"


def nothing(launcher: Launcher) -> None:
    """No jobs are no work."""
    launcher.run([], Silent())


def training(launcher: Launcher) -> None:
    """Every job is trained to its end, to the same bits as the training loop gives on the CPU."""
    with _folder() as folder:
        jobs = [job(folder / "launched", f"expert-{k}", LinearTask(seed=k)) for k in range(3)]
        launcher.run(jobs, Silent())
        for k, one in enumerate(jobs):
            _require_same(_result(one), trained_by_the_loop(job(folder / "loop", one.name, LinearTask(seed=k))), one)


def resuming(launcher: Launcher) -> None:
    """A job whose folder holds a checkpoint goes on from it."""
    with _folder() as folder:
        # The checkpoint comes from other data: who starts over, though the seed is the same, ends elsewhere.
        for place in ("launched", "loop"):
            half_way(job(folder / place, "expert-0", LinearTask(seed=99)))
        task = LinearTask(seed=0)
        one = job(folder / "launched", "expert-0", task)
        launcher.run([one], Silent())
        afresh = trained_by_the_loop(job(folder / "afresh", "expert-0", task))
        require(
            not _same(_result(one), afresh),
            "a job whose folder holds a checkpoint of half its steps was trained from its first step",
            "leave the job's folder as it is and let `train` find its checkpoint there",
        )
        _require_same(_result(one), trained_by_the_loop(job(folder / "loop", "expert-0", task)), one)


def finished(launcher: Launcher) -> None:
    """A finished job is left as it is."""
    with _folder() as folder:
        one = job(folder, "expert-0", LinearTask(seed=0))
        trained_by_the_loop(one)
        before = trained_path(one.folder).stat().st_mtime_ns
        launcher.run([one], Silent())
        require(
            trained_path(one.folder).stat().st_mtime_ns == before,
            "a job that was finished is trained again",
            "do not remove what lies in a job's folder: `train` returns at once where the result is there",
        )


def failure(launcher: Launcher) -> None:
    """Where a training fails, run raises TrainingError naming the job."""
    with _folder() as folder:
        bad = job(folder, "expert-bad", LinearTask(seed=1, spoilt=True))
        try:
            launcher.run([bad], Silent())
        except TrainingError as error:
            require(
                bad.name in str(error),
                f"the error does not name the job {bad.name}: {error}",
                "pass on the error that `train` raises, as it is",
            )
        except Exception as error:
            raise ConformanceError(
                f"a loss that is not finite raises {type(error).__name__}: {str(error).splitlines()[0]}",
                "pass on the TrainingError that `train` raises, as it is",
            ) from None
        else:
            raise ConformanceError(
                "a job whose loss is not finite ends without an error", "pass on the TrainingError that `train` raises"
            )


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def _result(one: Job) -> dict[str, Tensor]:
    try:
        return read_trained(one.folder)
    except ArtifactError:
        raise ConformanceError(
            f"job {one.name} left no result in its folder", "run returns when every job is trained to its end"
        ) from None


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _require_same(found: dict[str, Tensor], wanted: dict[str, Tensor], one: Job) -> None:
    require(_same(found, wanted), f"job {one.name} ends with other weights than the training loop gives", _SAME)


CHECKS = (nothing, training, resuming, finished, failure)
