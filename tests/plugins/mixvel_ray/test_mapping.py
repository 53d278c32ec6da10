"""Work in parts on a real cluster: one start of Ray for all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ray_drills import ray_environment
from tasks import Squares
from whole_runs import EXACT, files, results, run

from mixvel_core.errors import DataError, MixvelError, RecipeError, SamplingError
from mixvel_core.protocols import Mapper
from mixvel_ray.launcher import RayLauncher
from mixvel_ray.mapping import PartWorker
from mixvel_ray.work import WorkerPlace


@pytest.fixture(scope="module")
def two_cpus() -> Iterator[None]:
    with ray_environment():
        import ray

        ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
        try:
            yield
        finally:
            ray.shutdown()


def mapped(launcher: RayLauncher, task: Squares, count: int = 6) -> tuple[dict[int, int], list[tuple[int, int]]]:
    """Results by index, and the progress reports."""
    reported: list[tuple[int, int]] = []
    with closing(launcher.map(task, list(range(count)), lambda index, done: reported.append((index, done)))) as results:
        return {index: int(result) for index, result in results}, reported


@pytest.mark.slow
def test_parts_are_done_once_and_lost_ones_again(two_cpus: None, tmp_path: Path) -> None:
    launcher = RayLauncher()
    assert isinstance(launcher, Mapper)
    flag, begun = tmp_path / "killed", tmp_path / "begun"
    begun.mkdir()
    found, reported = mapped(launcher, Squares(folder=tmp_path, killed_once=flag, begun=begun))
    assert found == {number: number**2 for number in range(6)}
    assert flag.exists()
    assert (3, 0) in reported
    # Each worker begins once, however many parts it does; the one that was lost may have a successor.
    assert len(list(begun.iterdir())) in (2, 3)

    with pytest.raises(SamplingError, match=r"^4 cannot be squared$"):
        mapped(launcher, Squares(folder=tmp_path, spoilt=4))
    few = RayLauncher(max_failures=0, parallel=1)
    with pytest.raises(MixvelError, match="squares: a worker was lost with part 3 1 times, at last by ActorDied"):
        mapped(few, Squares(folder=tmp_path, always_killed=True))
    with pytest.raises(RecipeError, match="a job needs 1 workers of 64 CPU each"):
        mapped(RayLauncher(cpus=64), Squares(folder=tmp_path))
    assert not [name for name in files(tmp_path) if "seen" in name]

    # Nobody is left who would hold what others wait for.
    found, _ = mapped(RayLauncher(cpus=2), Squares(folder=tmp_path), count=2)
    assert found == {0: 0, 1: 1}


@pytest.mark.slow
def test_samples_and_scores_are_those_of_one_process(two_cpus: None, tmp_path: Path) -> None:
    cut = ("sample.batch=3", "sample.threads=1")
    run(EXACT, tmp_path / "alone", *cut, stage="evaluate")
    run(EXACT, tmp_path / "apart", *cut, "sample.launcher={use: ray, threads: 1}", stage="evaluate")
    assert results(tmp_path / "apart") == results(tmp_path / "alone")


def test_a_worker_that_does_not_see_the_run_folder_says_so(tmp_path: Path) -> None:
    bench = WorkerPlace(home=tmp_path, token=tmp_path / "absent", threads=1)
    mailbox: Any = None
    with pytest.raises(DataError, match=r"squares: .* is not seen by a worker on .*storage that all nodes share"):
        PartWorker(Squares(folder=tmp_path), bench, "cpu", mailbox).begin()


def test_nothing_to_do_starts_no_cluster(tmp_path: Path) -> None:
    assert mapped(RayLauncher(address="nowhere:1"), Squares(folder=tmp_path), count=0) == ({}, [])
