"""local: trains the jobs in this process, one after another or side by side."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import torch
from attrs import frozen

from mixvel_core.device import threads as restored_threads
from mixvel_core.errors import RecipeError
from mixvel_core.protocols import Job, Progress, Task
from mixvel_core.protocols.launcher import PartT, ResultT
from mixvel_core.training.loop import train
from mixvel_local.hooks import LocalOptions
from mixvel_local.mapping import LocalMapping
from mixvel_local.side_by_side import SideBySide


@frozen(kw_only=True)
class LocalLauncher(LocalOptions):
    """``parallel`` jobs at a time, with ``threads`` of torch for each; None shares out all that torch has."""

    def run(self, jobs: Sequence[Job], progress: Progress) -> None:
        """Trains every job that is not trained yet; all stop where one fails.

        Raises RecipeError where there is no such device, and whatever ``train`` raises.
        """
        for _ in self.each_trained(jobs, progress):
            pass

    def each_trained(self, jobs: Sequence[Job], progress: Progress) -> Generator[Job]:
        """The same, each job given back when it is trained; see ``IncrementalLauncher``."""
        device = self._device()
        workers = min(self.parallel, len(jobs))
        threads = self.threads or max(1, torch.get_num_threads() // max(1, workers))

        def train_one(job: Job, progress: Progress) -> None:
            # Set where it trains: the number belongs to the thread.
            torch.set_num_threads(threads)
            train(job, device=device, progress=progress)

        with restored_threads(None):
            if workers > 1:
                # The longest first, so that none is left over at the end while the other workers have nothing to do.
                ordered = sorted(jobs, key=lambda job: -job.task.options.steps * job.task.options.batch)
                yield from SideBySide(workers=workers, train=train_one).each(ordered, progress)
            else:
                for job in jobs:
                    train_one(job, progress)
                    yield job

    def map(
        self, task: Task[PartT, ResultT], parts: Sequence[PartT], report: Callable[[int, int], None]
    ) -> Generator[tuple[int, ResultT]]:
        """Does every part, ``parallel`` at a time, each in a thread that loads for itself; see ``Mapper``."""
        device = self._device()
        workers = min(self.parallel, len(parts))
        with restored_threads(None):
            threads = self.threads or max(1, torch.get_num_threads() // max(1, workers))
            yield from LocalMapping[PartT, ResultT](workers=workers, threads=threads, device=device).run(
                task, parts, report
            )

    def _device(self) -> torch.device:
        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise RecipeError("launcher local: device cuda is not available here; use auto or cpu")
        return torch.device("cuda" if available and self.device != "cpu" else "cpu")
