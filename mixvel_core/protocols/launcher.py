"""Launcher: where training jobs run; a Mapper also runs work that trains nothing, such as sampling."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from mixvel_core.protocols.progress import Progress
    from mixvel_core.protocols.training import TrainTask


@frozen(kw_only=True)
class Job:
    """One network to train, in isolation.

    ``name``: for example "expert-3". ``folder``: where its checkpoints and its result go. ``seed``: the key of
    its random numbers. ``tensorboard``: the folder of its event files, or None.
    """

    name: str
    task: TrainTask
    seed: int
    folder: Path
    tensorboard: Path | None = None


class Launcher(Protocol):
    """Runs jobs, one after the other or many at once."""

    def run(self, jobs: Sequence[Job], progress: Progress) -> None:
        """Trains every job to its end; each leaves ``trained.safetensors`` in its folder.

        A job whose folder holds a checkpoint goes on from it. Raises TrainingError naming the job and step.
        """


@runtime_checkable
class IncrementalLauncher(Protocol):
    """A launcher that gives back each job when it is trained, while others still train."""

    def each_trained(self, jobs: Sequence[Job], progress: Progress) -> Generator[Job]:
        """Trains every job as ``run`` does, and yields each once, when its result is there.

        Closing the generator ends all trainings as an interruption does. Raises what ``run`` raises.
        """


PartT = TypeVar("PartT")
ResultT = TypeVar("ResultT")
PartT_contra = TypeVar("PartT_contra", contravariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)


class Task(Protocol[PartT_contra, ResultT_co]):
    """Work that falls into parts, none of which needs another. Picklable, as are its parts and results."""

    @property
    def name(self) -> str:
        """The name of the work in messages."""

    @property
    def folder(self) -> Path:
        """All that is read lies below this folder, which all workers must see."""

    def begin(self, device: torch.device) -> Callable[[PartT_contra, Callable[[int], None]], ResultT_co]:
        """What each worker does once, such as loading models to its ``device``.

        Returns:
            A function of a part and a callback. Its result depends on the part alone, not on what was done before. It
            calls back with the number of units done; the callback may raise to end it.
        """


@runtime_checkable
class Mapper(Protocol):
    """A launcher that also runs work other than training."""

    def map(
        self, task: Task[PartT, ResultT], parts: Sequence[PartT], report: Callable[[int, int], None]
    ) -> Generator[tuple[int, ResultT]]:
        """Does every part once, as many at a time as there are workers.

        Args:
            task: the work.
            parts: of it.
            report: called between results, in the caller's thread, with the index of a part and the number of its units
                that are done. A part that is done again, because its worker was lost, begins at 0 again.

        Returns:
            Index and result of each part, in the order in which they are done. Closing the generator ends all work.

        Raises whatever a part raises; RecipeError where there is no room for a worker.
        """
