"""What a process of `fashion` does: one training, one set of samples, or a probe of how fast both go side by side.

A GPU waits for Python when networks are as small as these; several processes keep it busy where threads, which share
one interpreter, would not. Each task is one stage's work for one model, as `mixvel run` does it; two tasks never write
to the same folder.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from attrs import define, evolve, frozen

from mixvel_core import load_recipe, load_registry
from mixvel_core.pipeline.jobs import TrainingJob, make
from mixvel_core.pipeline.loaded import models_key
from mixvel_core.pipeline.models import ModelStages, model_stages
from mixvel_core.pipeline.partition import partition_artifact, stored_shards
from mixvel_core.pipeline.sample import sample
from mixvel_core.pipeline.sample_specs import sample_artifact, sample_specs
from mixvel_core.protocols import Job, PreparedMetric, Progress, ProgressTask
from mixvel_core.protocols.progress import Silent
from mixvel_core.recipe.model import Recipe
from mixvel_core.training.loop import train

RUN = """\
import sys
from pathlib import Path
from mixvel_core import load_recipe, load_registry
from mixvel_core.pipeline.run import run
from mixvel_core.protocols.progress import Silent
run(load_recipe(Path(sys.argv[1]), [], load_registry()), Path(sys.argv[2]), progress=Silent(), stage=sys.argv[3])
"""
"""`mixvel run` without the command line, whose packages a carried machine may lack."""

WARM_UP = 3
"""Steps that are not timed."""


LONGEST = 30.0
"""Seconds that those may take where a training is only probed."""


class TimeUpError(Exception):
    """A deadline passed."""


@frozen(kw_only=True)
class Place:
    """A run: its recipe file with overrides, at ``size`` or at toy size, and its folder.

    ``end``: when work on it stops, on the monotonic clock.
    """

    recipe: Path
    folder: Path
    overrides: tuple[str, ...] = ()
    size: str | None = None
    smoke: bool = False
    end: float = float("inf")

    def load(self) -> Recipe:
        """The recipe."""
        return load_recipe(self.recipe, self.overrides, load_registry(), smoke=self.smoke, size=self.size)

    def stages(self, recipe: Recipe) -> ModelStages:
        """The stages that make the models; the shards have to be there."""
        shards = stored_shards(partition_artifact(recipe, self.folder))
        if shards is None:
            raise FileNotFoundError(f"{self.folder}: its shards are not there")
        return model_stages(recipe, self.folder, shards)


@define(kw_only=True)
class _Bar:
    until: Until
    done: int = 0
    first: tuple[int, float] | None = None

    def update(self, done: int, note: str = "") -> None:
        """Raises the interruption after the end."""
        now = time.monotonic()
        if self.first is None and done >= WARM_UP:
            self.first = done, now
            if self.until.seconds is not None:
                self.until.end = now + self.until.seconds
        self.done = done
        if now > self.until.end:
            raise self.until.interrupt


@define(kw_only=True)
class Until:
    """Progress that ends work at ``end``, or ``seconds`` after the first steps, which choose kernels.

    Trainings take an interruption as Ctrl-C and leave a checkpoint.
    """

    end: float
    seconds: float | None = None
    interrupt: type[BaseException] = TimeUpError
    bar: _Bar | None = None

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[ProgressTask]:
        """A bar that ends with the time."""
        self.bar = _Bar(until=self)
        yield self.bar

    def line(self, text: str) -> None:
        """Nothing."""

    @property
    def rate(self) -> float:
        """Steps a second since the first ones; 0 where there were no others."""
        if self.bar is None or self.bar.first is None or self.bar.done <= self.bar.first[0]:
            return 0.0
        return (self.bar.done - self.bar.first[0]) / max(time.monotonic() - self.bar.first[1], 1e-6)


def begin_process(threads: int) -> None:
    """What every process does first."""
    torch.set_num_threads(threads)


def probe(place: Place, seconds: float) -> float:
    """Images a second of one expert's training while the other processes do the same; what it makes is thrown away."""
    recipe = place.load()
    shards = stored_shards(partition_artifact(recipe, place.folder))
    if shards is None:
        raise FileNotFoundError(f"{place.folder}: its shards are not there")
    task = recipe.expert.build().task(shards.parts[0], recipe.schedule.build())
    if task is None:
        raise ValueError("an expert in closed form has nothing to train")
    progress = Until(end=time.monotonic() + LONGEST, seconds=seconds, interrupt=KeyboardInterrupt)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        train(Job(name="probe", task=task, seed=0, folder=Path(folder)), device=device, progress=progress)
    return task.options.batch * progress.rate


def prepare_metrics(place: Place) -> float:
    """Makes what metrics make once, such as a classifier; the seconds it took."""
    started = time.monotonic()
    for use in place.load().evaluate.metrics:
        metric = use.build()
        if isinstance(metric, PreparedMetric):
            metric.prepare(Until(end=place.end))
    return time.monotonic() - started


def train_model(place: Place, name: str) -> float:
    """Trains and stores expert-K, monolith or router-NAME unless it is there; the seconds it took."""
    started, recipe = time.monotonic(), place.load()
    progress = Until(end=place.end, interrupt=KeyboardInterrupt)
    try:
        make(_pending(place.stages(recipe), name), recipe.launcher, progress)
    except KeyboardInterrupt:
        raise TimeUpError(f"{name}: not trained to its end; its checkpoint is kept") from None
    return time.monotonic() - started


def _pending(stages: ModelStages, name: str) -> list[TrainingJob]:
    kind, _, which = name.partition("-")
    if kind == "expert":
        return stages.separate[int(which)].training_jobs()
    if kind == "router":
        return stages.routers[which].training_jobs()
    return stages.monolith.training_jobs() if stages.monolith else []


def draw_samples(place: Place, method: str, seed: int) -> float:
    """Draws the samples of one method at all step counts, for one seed; the seconds it took."""
    started, recipe = time.monotonic(), place.load()
    wanted = {method: recipe.sample.methods[method]}
    options = evolve(recipe.sample, methods=wanted, seeds=(seed,), launcher=None)
    sample(place.stages(recipe).models, options, place.folder / "samples", Until(end=place.end))
    return time.monotonic() - started


def missing_columns(place: Place, recipe: Recipe) -> set[tuple[int, int]]:
    """Step counts and seeds at which not every method has its samples."""
    models, folder = place.stages(recipe).models, place.folder / "samples"
    return {
        (spec.steps, spec.seed)
        for spec in sample_specs(recipe.sample, list(models.routers))
        if not sample_artifact(spec, recipe.sample, models_key(models, spec.router), folder).is_done()
    }


def import_all() -> None:
    """Pays for the slow imports, and for the device's context, before anything is timed."""
    import mixvel_networks.unet  # noqa: F401  # imported for its import of diffusers

    if torch.cuda.is_available():
        torch.zeros(1, device="cuda")


SILENT: Progress = Silent()
