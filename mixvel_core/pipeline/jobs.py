"""Models that are not made yet: what has to be trained for each, and how it is put together afterwards.

Experts, monolith and routers do not wait for each other: all their networks are jobs of one launch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from attrs import frozen

from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.artifacts.files import checksum_once, read_json, write_json
from mixvel_core.errors import AbsentError, ArtifactError, UsageError
from mixvel_core.pipeline.trained import has_training
from mixvel_core.plugin.definition import ExpertUse, LauncherUse, RouterUse, ScheduleUse
from mixvel_core.plugin.options import key_values
from mixvel_core.protocols import IncrementalLauncher, Job, Progress, TrainTask
from mixvel_core.recipe.dump import keyed, plain
from mixvel_core.training.options import HOUSEKEEPING, TrainOptions

if TYPE_CHECKING:
    from torch import Tensor

MODEL = "model.safetensors"
MOMENTS = "moments.safetensors"
_FILES = "files"
LOSSES = "losses.csv"
"""What a training leaves in its folder for the report to show (see ``training.log``)."""

Finish: TypeAlias = Callable[[Mapping[str, Mapping[str, "Tensor"]]], None]
"""Makes a model's folder from the trained state of each part."""


@frozen(kw_only=True)
class TrainingJob:
    """One model. ``jobs``: its networks, by part, none for a closed form. ``damaged``: the file for whose sake it is
    made again, if it was made before."""

    name: str
    jobs: Mapping[str, Job]
    finish: Finish
    damaged: Path | None = None


@frozen(kw_only=True)
class ModelStage(ABC):
    """How a model is made. Its networks are jobs called ``NAME``, or ``NAME-PART`` where there are several.

    ``seed``: the recipe's root seed; a job's key is grown from it and the job's name. ``folder``: where the model goes.
    ``tensorboard``: parent of the event folders.
    """

    schedule: ScheduleUse
    seed: int
    folder: Path
    tensorboard: Path

    @property
    @abstractmethod
    def name(self) -> str:
        """What its job is called."""

    @property
    @abstractmethod
    def artifact(self) -> Artifact:
        """What it is made as."""

    @abstractmethod
    def _tasks(self) -> tuple[Mapping[str, TrainTask], Finish]:
        """What is trained, by part, and what makes the model of it."""

    def is_done(self) -> bool:
        """Whether the model is made."""
        return self.artifact.is_done()

    def is_of_others(self) -> bool:
        """Whether a model that was made, or begun, from other inputs lies in its folder."""
        try:
            artifact = self.artifact
        except ArtifactError:
            return False  # What it is made from is not there yet.
        return artifact.recorded_key() not in (None, artifact.key)

    def training_jobs(self) -> list[TrainingJob]:
        """The model, if it is not there yet. Raises UsageError where another that was trained would be lost."""
        artifact = self.artifact
        if artifact.is_done():
            return []
        if self.is_of_others() and has_training(self.folder):
            raise UsageError(
                f"{self.folder}: {self.name} was trained on other data, or with other options, than the recipe's; "
                "another --out keeps it, `--fresh all` discards all that was trained"
            )
        from mixvel_core.randomness import key

        damaged = artifact.first_damaged()
        tasks, finish = self._tasks()
        artifact.start()
        names = {part: self.name if len(tasks) == 1 else f"{self.name}-{part}" for part in tasks}
        jobs = {
            part: Job(
                name=names[part],
                task=task,
                seed=key(self.seed, names[part]),
                folder=self.folder / part,
                tensorboard=self.tensorboard / names[part],
            )
            for part, task in tasks.items()
        }
        return [TrainingJob(name=self.name, jobs=jobs, finish=finish, damaged=damaged)]

    def _write(
        self,
        kind: Literal["expert", "router"],
        use: ExpertUse | RouterUse,
        facts: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        *,
        moments: Mapping[str, Tensor] | None = None,
        beside: Iterable[str] = (),
    ) -> None:
        """The model's folder. ``facts``: of its shards. ``beside``: files that are there."""
        from mixvel_core.artifacts.tensors import write_checksummed

        # Moments in a file of their own: selectors need those of every expert, also of those that are never loaded.
        written = {MODEL: tensors} | ({} if moments is None else {MOMENTS: moments})
        for name, values in written.items():
            write_checksummed(self.folder / name, values, {kind: use.name})
        made_from = {kind: plain(use), "schedule": plain(self.schedule), **self._contents(use)}
        write_json(self.folder / "config.json", {**facts, **made_from})
        self.artifact.commit([*written, "config.json", *beside])

    def _as_made(self, kind: Literal["expert", "router"], use: ExpertUse | RouterUse) -> dict[str, Any]:
        """The options for the key. How often a training was saved and recorded changes no weight: that is taken from
        what lies in the folder."""
        section: dict[str, Any] = keyed(use)
        try:
            made = read_json(self.folder / "config.json")[kind]
            for name, value in key_values(use.options):
                if isinstance(value, TrainOptions):
                    section[name] |= {option: made[name][option] for option in HOUSEKEEPING}
        except (ArtifactError, KeyError, TypeError):
            return keyed(use)  # type: ignore[no-any-return]  # a section is a mapping
        return section

    def _contents(self, use: ExpertUse | RouterUse) -> dict[str, Any]:
        """Under ``files`` name and checksum of each file, besides data, that the model is made from; nothing where
        there are none. Where they are gone, a model that is made holds them as they were."""
        try:
            found = [[path.name, checksum_once(path)] for path in use.files()]
        except (AbsentError, OSError) as error:
            with suppress(ArtifactError, KeyError, TypeError):
                return {_FILES: read_json(self.folder / "config.json")[_FILES]}
            if isinstance(error, OSError):
                where = f"{error.filename}: cannot be read ({error.strerror})"
                raise AbsentError(f"{where}; put it there, or name the right one") from None
            raise
        return {_FILES: found} if found else {}

    def _artifact(self, kind: Literal["expert", "router"], use: ExpertUse | RouterUse, **inputs: Any) -> Artifact:
        made_from = {"schedule": keyed(self.schedule), "seed": self.seed, **self._contents(use)}
        return Artifact(folder=self.folder, key=key_of(**made_from, **{kind: self._as_made(kind, use)}, **inputs))


def make(models: Sequence[TrainingJob], launcher: LauncherUse, progress: Progress) -> None:
    """Trains what has to be trained, and finishes each model as soon as its own networks are trained.

    Raises whatever the launcher raises, when all models are finished whose networks were trained before.
    """
    if not models:
        return
    report_damage((model.damaged for model in models), progress)
    _train([model for model in models if model.jobs], launcher, progress)
    closed = [model for model in models if not model.jobs]
    if closed:
        names = [model.name for model in closed]
        listed = names if len(names) <= 4 else [*names[:2], f"{names[2]} and {len(names) - 3} more"]
        progress.line(f"in closed form, nothing to train: {', '.join(listed)}")
    for model in closed:
        model.finish({})


def _train(models: Sequence[TrainingJob], launcher: LauncherUse, progress: Progress) -> None:
    jobs = [job for model in models for job in model.jobs.values()]
    if not jobs:
        return
    from mixvel_core.device import threads
    from mixvel_core.training.checkpoint import is_trained, read_trained

    left = {id(model): {job.name for job in model.jobs.values()} for model in models}

    def finish(model: TrainingJob) -> None:
        del left[id(model)]
        model.finish({part: read_trained(job.folder) for part, job in model.jobs.items()})

    built = launcher.build()
    with threads(None) as own:
        try:
            if isinstance(built, IncrementalLauncher):
                with closing(built.each_trained(jobs, progress)) as trained:
                    for job in trained:
                        [model] = [one for one in models if job.name in left.get(id(one), ())]
                        left[id(model)].discard(job.name)
                        if not left[id(model)]:
                            # As many threads as where all is trained: the number may change the last bits of a sum.
                            with threads(own):
                                finish(model)
            else:
                built.run(jobs, progress)
        finally:
            for model in models:
                if id(model) in left and all(is_trained(job.folder) for job in model.jobs.values()):
                    finish(model)
