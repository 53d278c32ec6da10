"""ray: trains every job as a run of its own on a Ray cluster, with workers that share its batches."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import asdict, evolve, frozen

from mixvel_core.errors import RecipeError
from mixvel_core.protocols import Job, Progress, Task
from mixvel_core.protocols.launcher import PartT, ResultT
from mixvel_core.training.checkpoint import is_trained
from mixvel_ray.cluster import call, cluster, new_mailbox, nodes
from mixvel_ray.fit import Fit
from mixvel_ray.hooks import RayOptions
from mixvel_ray.mapping import RayMapping
from mixvel_ray.progress import Board, Ended, Failed
from mixvel_ray.work import Work, WorkerPlace, room_of

_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_TO_SAVE = 30.0


@frozen(kw_only=True)
class RayLauncher(RayOptions):
    """As many jobs at once as the cluster holds, the longest first.

    Each has its own workers and process group; nothing passes between jobs. Where the cluster has several nodes, the
    run folder must lie on storage that all of them see: checkpoints and results are written there by the worker that
    leads, and read there by whoever takes its place.
    """

    def run(self, jobs: Sequence[Job], progress: Progress) -> None:
        """Trains every job that is not trained yet. At the first failure, or Ctrl-C, all save and stop.

        Raises RecipeError where a batch cannot be shared by the workers, no cluster answers or it is too small;
        TrainingError where workers failed too often; and whatever ``train`` raises.
        """
        for _ in self.each_trained(jobs, progress):
            pass

    def each_trained(self, jobs: Sequence[Job], progress: Progress) -> Generator[Job]:
        """The same, each job given back when it is trained; see ``IncrementalLauncher``."""
        done = {job.name for job in jobs if _is_done(job, progress)}
        yield from (job for job in jobs if job.name in done)
        todo = [job for job in jobs if job.name not in done]
        self._check_batches(todo)
        if not todo:
            return
        # The longest first, so that none is left over at the end while there is room for more.
        todo.sort(key=lambda job: -job.task.options.steps * job.task.options.batch)
        with (
            cluster(self.address, self.local_cpus, self.verbose),
            tempfile.TemporaryDirectory(prefix="mixvel-ray-", ignore_cleanup_errors=True) as scratch,
        ):
            room = room_of(self, nodes())
            held = len(todo) if self.autoscaling else room.jobs(nodes())
            mailbox = new_mailbox()
            fit = Fit(room=room, max_failures=self.max_failures, mailbox=mailbox, scratch=Path(scratch))

            def train(job: Job) -> None:
                with self._place(job.folder) as place:
                    fit.run(Work(job=job, **asdict(place)))

            at_once = min(held, len(todo), self.parallel or len(todo))
            yield from _Launch(mailbox=mailbox, train=train, at_once=at_once).each(todo, progress)

    def map(
        self, task: Task[PartT, ResultT], parts: Sequence[PartT], report: Callable[[int, int], None]
    ) -> Generator[tuple[int, ResultT]]:
        """Does every part, as many at a time as the cluster holds workers, or ``parallel``; see ``Mapper``.

        ``workers`` does not matter: one worker does a part. Raises RecipeError where no cluster answers or it is too
        small; MixvelError where workers were lost too often; and whatever a part raises.
        """
        if not parts:
            return
        with cluster(self.address, self.local_cpus, self.verbose), self._place(task.folder) as place:
            room = evolve(room_of(self, nodes()), workers=1)
            # How much an autoscaler may add is not known here, unless `parallel` gives it.
            grown = self.parallel if self.autoscaling else None
            held = grown or room.jobs(nodes())
            yield from RayMapping[PartT, ResultT](
                room=room,
                at_once=min(held, len(parts), self.parallel or len(parts)),
                max_failures=self.max_failures,
                place=place,
            ).run(task, parts, report)

    def _check_batches(self, jobs: Sequence[Job]) -> None:
        workers = self.workers
        uneven = {job.task.options.batch: job.name for job in jobs if job.task.options.batch % workers}
        if uneven:
            problems = [f"{name}: a batch of {batch}" for batch, name in uneven.items()]
            raise RecipeError(
                f"launcher ray: {', '.join(problems)} cannot be split evenly over {workers} workers; "
                f"choose a multiple of {workers}"
            )

    @contextmanager
    def _place(self, folder: Path) -> Iterator[WorkerPlace]:
        """Where workers compute: a file in ``folder`` shows them that they see it; it is gone after the block."""
        folder.mkdir(parents=True, exist_ok=True)
        # Named like what a killed process leaves: if this one is killed, the next run removes it.
        token = folder / f".seen-{uuid4().hex}.unfinished"
        token.touch()
        try:
            yield WorkerPlace(home=Path.cwd(), token=token, threads=self.threads or max(1, int(self.cpus)))
        finally:
            token.unlink(missing_ok=True)


@frozen(kw_only=True)
class _Launch:
    """Runs ``train`` on jobs, ``at_once`` at a time, in threads, and shows what the ``mailbox`` brings."""

    mailbox: Any
    train: Callable[[Job], None]
    at_once: int

    def each(self, jobs: Sequence[Job], progress: Progress) -> Generator[Job]:
        todo, running = deque(jobs), dict[Future[None], Job]()
        with ExitStack() as bars:
            board = Board(progress=progress, bars=bars)
            try:
                while todo or running:
                    while todo and len(running) < self.at_once:
                        job = todo.popleft()
                        running[_in_thread(self.train, job)] = job
                    done, _ = wait(running, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
                    # The events of a job come before its end, and hold more of a failure.
                    board.show(call(self.mailbox.take))
                    for future in done:
                        job = running.pop(future)
                        board.end(job.name)
                        future.result()
                        yield job
            except BaseException:
                self._stop(board)
                raise

    def _stop(self, board: Board) -> None:
        """Lets the jobs that are under way save where they are."""
        call(self.mailbox.stop)
        until = time.monotonic() + _SECONDS_TO_SAVE
        while board.under_way and time.monotonic() < until:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            events = call(self.mailbox.take)
            # The first failure is the one that is raised.
            board.show(Ended(event.job) if isinstance(event, Failed) else event for event in events)


def _is_done(job: Job, progress: Progress) -> bool:
    done = is_trained(job.folder)
    if done:
        progress.line(f"{job.name}: already trained")
    return done


def _in_thread(call: Callable[[Job], None], job: Job) -> Future[None]:
    """The call's outcome. The thread is a daemon: when the cluster is shut down nothing waits for it any more."""
    future: Future[None] = Future()

    def work() -> None:
        try:
            call(job)
        except BaseException as error:  # a thread's error is the caller's
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=work, name=f"fit-{job.name}", daemon=True).start()
    return future
