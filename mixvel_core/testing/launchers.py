"""Checks of what the protocol requires of a Launcher, by trainings of a fraction of a second that reach any worker."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from attrs import evolve, field, frozen
from torch import Tensor, nn

from mixvel_core.errors import ArtifactError, ConformanceError, TrainingError
from mixvel_core.field.conversions import add_noise, point_for
from mixvel_core.protocols import Batch, IncrementalLauncher, Job, Launcher, NoiseSchedule
from mixvel_core.protocols.progress import Silent
from mixvel_core.randomness import seeded
from mixvel_core.testing.check import require
from mixvel_core.testing.problems import Circle
from mixvel_core.training.checkpoint import read_trained, trained_path
from mixvel_core.training.loop import train
from mixvel_core.training.options import TrainOptions

_OPTIONS = TrainOptions(steps=12, batch=4, warmup=2, learning_rate=0.05, checkpoint_every=3, log_every=4)


@frozen(kw_only=True, eq=False)
class LineRegression:
    """Squared error of a linear denoiser; ``task`` says whether it is NaN, or ends half-way as by Ctrl-C."""

    network: nn.Module
    task: LinearTask

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """The squared error, named ``loss``."""
        if self.task.interrupted and batch.progress >= 0.5:
            raise KeyboardInterrupt
        x = add_noise(batch.x_0, batch.eps, point_for(self.task.schedule, batch.t, batch.x_0))
        loss = (network(x) - batch.x_0).square().mean()
        return {"loss": loss * float("nan") if self.task.spoilt else loss}


@frozen(kw_only=True, eq=False)
class LinearTask:
    """Fits a linear map to ``count`` vectors drawn from ``seed``; see ``LineRegression``."""

    seed: int
    count: int = 16
    spoilt: bool = False
    interrupted: bool = False
    shards: None = None
    schedule: NoiseSchedule = field(factory=Circle)
    options: TrainOptions = _OPTIONS

    @property
    def items(self) -> np.ndarray:
        """The same items each time, (count, 3), float32."""
        drawn = np.random.default_rng(self.seed).uniform(-1, 1, (self.count, 3))
        return np.asarray(drawn, dtype=np.float32)

    def objective(self, seed: int) -> LineRegression:
        """A fresh linear map."""
        with seeded(seed):
            network = nn.Linear(3, 3)
        return LineRegression(network=network, task=self)


def job(folder: Path, name: str, task: LinearTask) -> Job:
    """A job whose seed follows from its name."""
    return Job(name=name, task=task, seed=sum(name.encode()), folder=folder / name)


def trained_by_the_loop(one: Job) -> dict[str, Tensor]:
    """The result of ``train`` itself, in this process, on the CPU, in the job's folder."""
    train(one, device=torch.device("cpu"), progress=Silent())
    return read_trained(one.folder)


def nothing(launcher: Launcher) -> None:
    """No jobs are no work."""
    launcher.run([], Silent())


def training(launcher: Launcher) -> None:
    """Every job is trained to its end, to the same bits as the training loop gives on the CPU."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        jobs = [job(folder / "launched", f"expert-{k}", LinearTask(seed=k)) for k in range(3)]
        launcher.run(jobs, Silent())
        for one in jobs:
            _require_same(one, trained_by_the_loop(evolve(one, folder=folder / "loop" / one.name)))


def resuming(launcher: Launcher) -> None:
    """A job whose folder holds a checkpoint goes on from it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        # The checkpoint comes from other data: who starts over, though the seed is the same, ends elsewhere.
        for place in ("launched", "loop"):
            with suppress(KeyboardInterrupt):
                trained_by_the_loop(job(folder / place, "expert-0", LinearTask(seed=99, interrupted=True)))
        task = LinearTask(seed=0)
        one = job(folder / "launched", "expert-0", task)
        launcher.run([one], Silent())
        afresh = trained_by_the_loop(job(folder / "afresh", "expert-0", task))
        require(
            not _same(_result(one), afresh),
            "a job whose folder holds a checkpoint of half its steps was trained from its first step",
            "leave the job's folder as it is and let `train` find its checkpoint there",
        )
        _require_same(one, trained_by_the_loop(job(folder / "loop", "expert-0", task)))


def completed(launcher: Launcher) -> None:
    """A finished job is left as it is."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        one = job(folder, "expert-0", LinearTask(seed=0))
        trained_by_the_loop(one)
        before = trained_path(one.folder).stat().st_mtime_ns
        launcher.run([one], Silent())
        fix = "do not remove what lies in a job's folder: `train` returns at once where the result is there"
        require(trained_path(one.folder).stat().st_mtime_ns == before, "a job that was finished is trained again", fix)


def incremental(launcher: Launcher) -> None:
    """A launcher with ``each_trained`` yields every job once, when its result is there; others are not asked."""
    if not isinstance(launcher, IncrementalLauncher):
        return
    with TemporaryDirectory() as name:
        jobs = [job(Path(name), f"expert-{k}", LinearTask(seed=k)) for k in range(3)]
        trained_by_the_loop(jobs[1])
        found = []
        for one in launcher.each_trained(jobs, Silent()):
            _result(one)
            found.append(one.name)
        fix = "yield each job once, those that were trained before too"
        require(sorted(found) == [one.name for one in jobs], f"each_trained yields {found} of three jobs", fix)


def failure(launcher: Launcher) -> None:
    """Where a training fails, run raises TrainingError naming the job."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        bad = job(folder, "expert-bad", LinearTask(seed=1, spoilt=True))
        try:
            launcher.run([bad], Silent())
        except TrainingError as error:
            fix = "pass on the error that `train` raises, as it is"
            require(bad.name in str(error), f"the error does not name the job {bad.name}: {error}", fix)
        except Exception as error:
            raise ConformanceError(
                f"a loss that is not finite raises {type(error).__name__}: {str(error).splitlines()[0]}",
                "pass on the TrainingError that `train` raises, as it is",
            ) from None
        else:
            raise ConformanceError(
                "a job whose loss is not finite ends without an error", "pass on the TrainingError that `train` raises"
            )


def _result(one: Job) -> dict[str, Tensor]:
    try:
        return read_trained(one.folder)
    except ArtifactError:
        raise ConformanceError(
            f"job {one.name} left no result in its folder", "run returns when every job is trained to its end"
        ) from None


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _require_same(one: Job, wanted: dict[str, Tensor]) -> None:
    found = _result(one)
    fix = "call mixvel_core.training.loop.train for each job, with its own seed and folder and nothing of your own"
    require(_same(found, wanted), f"job {one.name} ends with other weights than the training loop gives", fix)


CHECKS = (nothing, training, resuming, completed, incremental, failure)
