"""Jobs in threads: really at once, shown by one thread, stopped together."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from attrs import evolve, field, frozen
from torch import Tensor, nn
from trainable import LevelObjective, LevelTask, StoppedError, Watching, level_job, run, stop_at

from mixvel_core.errors import TrainingError
from mixvel_core.protocols import Batch, Job, ProgressTask
from mixvel_core.randomness import seeded
from mixvel_core.training.checkpoint import is_trained, trained_path
from mixvel_local.launcher import LocalLauncher

SIDE_BY_SIDE = LocalLauncher(device="cpu", threads=1, parallel=2)


def jobs_in(folder: Path, count: int = 4) -> list[Job]:
    return [evolve(level_job(folder / f"{k}", seed=k), name=f"expert-{k}") for k in range(count)]


@frozen(kw_only=True)
class Meeting:
    """An objective whose every step waits for the other job's."""

    inner: LevelObjective
    barrier: threading.Barrier
    threads: list[int]

    @property
    def network(self) -> nn.Module:
        return self.inner.network

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        self.barrier.wait(timeout=20)
        self.threads.append(torch.get_num_threads())
        return self.inner.losses(network, batch)


@frozen(kw_only=True, eq=False)
class MeetingTask(LevelTask):
    barrier: threading.Barrier
    threads: list[int]

    def objective(self, seed: int) -> Meeting:  # type: ignore[override]  # an objective all the same
        return Meeting(inner=LevelTask.objective(self, seed), barrier=self.barrier, threads=self.threads)


def test_two_jobs_run_at_once_and_share_the_threads(tmp_path: Path) -> None:
    barrier, threads = threading.Barrier(2), list[int]()
    jobs = [
        evolve(
            job,
            task=MeetingTask(items=job.task.items[:], options=job.task.options, barrier=barrier, threads=threads),
        )
        for job in jobs_in(tmp_path, 2)
    ]
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    try:
        LocalLauncher(device="cpu", threads=None, parallel=2).run(jobs, Watching())
        assert torch.get_num_threads() == 6
    finally:
        torch.set_num_threads(before)
    assert all(is_trained(job.folder) for job in jobs)
    assert set(threads) == {3}


@frozen(kw_only=True)
class Ledger:
    """A progress that writes down who called what, and which bars are open."""

    callers: set[str] = field(factory=set)
    opened: list[str] = field(factory=list)
    closed: list[str] = field(factory=list)
    inner: Watching = field(factory=Watching)

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[ProgressTask]:
        self.callers.add(threading.current_thread().name)
        self.opened.append(name)
        try:
            with self.inner.task(name, total, unit) as bar:
                yield bar
        finally:
            self.callers.add(threading.current_thread().name)
            self.closed.append(name)

    def line(self, text: str) -> None:
        self.callers.add(threading.current_thread().name)
        self.inner.line(text)


def test_all_is_shown_by_the_thread_that_asked(tmp_path: Path) -> None:
    jobs = jobs_in(tmp_path)
    run(jobs[0])
    callers: set[str] = set()
    watching = Watching(on_update=lambda done, note: callers.add(threading.current_thread().name))
    ledger = Ledger(inner=watching)
    SIDE_BY_SIDE.run(jobs, ledger)
    assert ledger.callers | callers == {threading.current_thread().name}
    assert sorted(ledger.opened) == sorted(ledger.closed) == ["expert-1", "expert-2", "expert-3"]
    assert watching.lines == ["expert-0: already trained"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, StoppedError])
def test_what_stops_the_caller_stops_all_at_a_checkpoint(tmp_path: Path, error: type[BaseException]) -> None:
    jobs = jobs_in(tmp_path, 2)
    ledger = Ledger(inner=stop_at(3, error))
    with pytest.raises(error):
        SIDE_BY_SIDE.run(jobs, ledger)
    assert sorted(ledger.opened) == sorted(ledger.closed)
    assert not [t for t in threading.enumerate() if t.name.startswith("training-")]
    SIDE_BY_SIDE.run(jobs, Watching())
    for k, job in enumerate(jobs):
        run(level_job(tmp_path / "alone" / f"{k}", seed=k))
        assert trained_path(job.folder).read_bytes() == trained_path(tmp_path / "alone" / f"{k}").read_bytes()


def test_a_failure_is_raised_and_stops_the_others_at_a_checkpoint(tmp_path: Path) -> None:
    long = evolve(level_job(tmp_path / "long").task.options, steps=100_000, checkpoint_every=100_000)
    jobs = [level_job(tmp_path / "long", options=long), evolve(level_job(tmp_path / "bad", spoiled=3), name="bad")]
    with pytest.raises(TrainingError, match="bad: step 3: "):
        SIDE_BY_SIDE.run(jobs, Watching())
    assert len(list((tmp_path / "long" / "state").iterdir())) == 1


def test_initial_weights_do_not_depend_on_other_threads() -> None:
    def draw(seed: int, into: dict[int, Tensor]) -> None:
        with seeded(seed):
            into[seed] = torch.cat([torch.randn(3) for _ in range(300)])

    alone: dict[int, Tensor] = {}
    for seed in range(4):
        draw(seed, alone)
    before = torch.get_rng_state()
    together: dict[int, Tensor] = {}
    threads = [threading.Thread(target=draw, args=(seed, together)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(alone[seed], together[seed]) for seed in range(4))
    assert torch.equal(torch.get_rng_state(), before)
