"""A training of a fraction of a second, for launchers: picklable, so that it reaches any worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor, nn

from mixvel_core.errors import ArtifactError, ConformanceError, TrainingError
from mixvel_core.field.conversions import add_noise, point_for
from mixvel_core.protocols import Batch, Job, Launcher, NoiseSchedule
from mixvel_core.protocols.progress import Silent
from mixvel_core.randomness import seeded
from mixvel_core.testing.check import require
from mixvel_core.testing.problems import Circle
from mixvel_core.training.checkpoint import read_trained, trained_path
from mixvel_core.training.loop import train
from mixvel_core.training.options import TrainOptions

STEPS = 12
STOP = 6


def _short() -> TrainOptions:
    return TrainOptions(steps=STEPS, batch=4, warmup=2, learning_rate=0.05, checkpoint_every=3, log_every=4)


@frozen(kw_only=True, eq=False)
class LineRegression:
    """Squared error of a linear denoiser; ``spoilt``: of which nothing finite comes."""

    network: nn.Module
    schedule: NoiseSchedule
    spoilt: bool

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """The squared error, named ``loss``."""
        x = add_noise(batch.x_0, batch.eps, point_for(self.schedule, batch.t, batch.x_0))
        loss = (network(x) - batch.x_0).square().mean()
        return {"loss": loss * float("nan") if self.spoilt else loss}


@frozen(kw_only=True, eq=False)
class LinearTask:
    """Fits a linear map to ``count`` vectors drawn from ``seed``."""

    seed: int
    count: int = 16
    spoilt: bool = False
    schedule: NoiseSchedule = field(factory=Circle)
    options: TrainOptions = field(factory=_short)

    @property
    def items(self) -> np.ndarray:
        """The same items each time, (count, 3), float32."""
        drawn = np.random.default_rng(self.seed).uniform(-1, 1, (self.count, 3))
        return np.asarray(drawn, dtype=np.float32)

    @property
    def shards(self) -> None:
        """None: the task does not tell items of shards apart."""
        return

    def objective(self, seed: int) -> LineRegression:
        """A fresh linear map."""
        with seeded(seed):
            network = nn.Linear(3, 3)
        return LineRegression(network=network, schedule=self.schedule, spoilt=self.spoilt)


def job(folder: Path, name: str, task: LinearTask) -> Job:
    """A job whose seed follows from its name."""
    return Job(name=name, task=task, seed=sum(name.encode()), folder=folder / name)


def trained_by_the_loop(one: Job) -> dict[str, Tensor]:
    """The result of ``train`` itself, in this process, on the CPU, in the job's folder."""
    train(one, device=torch.device("cpu"), progress=Silent())
    return read_trained(one.folder)


def half_way(one: Job) -> None:
    """Leaves the checkpoints of an interrupted training in the job's folder."""
    try:
        train(one, device=torch.device("cpu"), progress=_Watching(on_update=_stop))
    except KeyboardInterrupt:
        return


@frozen(kw_only=True)
class _Bar:
    on_update: Callable[[int], None]

    def update(self, done: int, note: str = "") -> None:
        """Calls back at every report."""
        self.on_update(done)


@frozen(kw_only=True)
class _Watching:
    on_update: Callable[[int], None]

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[_Bar]:
        """A bar that calls back."""
        yield _Bar(on_update=self.on_update)

    def line(self, text: str) -> None:
        """Does nothing with the line."""


def _stop(done: int) -> None:
    if done == STOP:
        raise KeyboardInterrupt


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


def completed(launcher: Launcher) -> None:
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


CHECKS = (nothing, training, resuming, completed, failure)
