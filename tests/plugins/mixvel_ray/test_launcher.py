"""What the launcher settles before any cluster is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from attrs import evolve
from tasks import DirectLink
from trainable import Watching, level_job, run
from whole_runs import recipe_of

from mixvel_core.errors import DataError, MixvelError, RecipeError, TrainingError
from mixvel_core.protocols.progress import Silent
from mixvel_core.training.world import World
from mixvel_ray import launcher as module
from mixvel_ray.fit import cause_of, world_of
from mixvel_ray.hooks import RayOptions
from mixvel_ray.launcher import RayLauncher
from mixvel_ray.progress import Ended, Failed, Mailbox
from mixvel_ray.work import Work

ROOT = Path(__file__).parents[3]


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a cluster was started")

    monkeypatch.setattr(module, "cluster", refuse)


@pytest.mark.usefixtures("no_cluster")
def test_nothing_to_do_starts_no_cluster(tmp_path: Path) -> None:
    RayLauncher().run([], Watching())
    job = level_job(tmp_path)
    run(job)
    progress = Watching()
    RayLauncher().run([job], progress)
    assert progress.lines == ["level: already trained"]


@pytest.mark.usefixtures("no_cluster")
def test_a_batch_that_cannot_be_shared_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="level: a batch of 4 cannot be split evenly over 3 workers"):
        RayLauncher(workers=3).run([level_job(tmp_path)], Watching())
    assert not list(tmp_path.iterdir())


def test_recipes_for_local_run_on_ray_as_they_are() -> None:
    for path in sorted((ROOT / "recipes").glob("*.yaml")):
        recipe = recipe_of(path.read_text(), "launcher.use=ray")
        assert isinstance(recipe.launcher.options, RayOptions)
    digits = recipe_of((ROOT / "recipes" / "digits.yaml").read_text(), "launcher.use=ray")
    assert digits.launcher.options == RayOptions(parallel=2, threads=1)


def work(folder: Path, token: Path, spoiled: int = 1 << 30) -> Work:
    return Work(job=level_job(folder, spoiled=spoiled), home=Path.cwd(), token=token, threads=1)


def test_a_worker_that_does_not_see_the_run_folder_says_so(tmp_path: Path) -> None:
    link = DirectLink()
    with pytest.raises(DataError, match=r"is not seen by a worker on .*storage that all nodes share"):
        work(tmp_path, tmp_path / "absent").do(torch.device("cpu"), World(), Silent(), link)
    [failed] = link.mailbox.take()
    assert isinstance(failed, Failed)


def test_work_reports_how_it_ended(tmp_path: Path) -> None:
    (tmp_path / "token").touch()
    link = DirectLink()
    work(tmp_path / "a", tmp_path / "token").do(torch.device("cpu"), World(), Silent(), link)
    assert link.mailbox.take() == [Ended("level")]
    with pytest.raises(TrainingError):
        work(tmp_path / "b", tmp_path / "token", spoiled=3).do(torch.device("cpu"), World(), Silent(), link)
    [failed] = link.mailbox.take()
    assert isinstance(failed, Failed)
    assert "level: step 3: " in str(failed.error)


def test_relative_folders_are_read_from_where_the_driver_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").touch()
    monkeypatch.chdir(tmp_path)
    there = evolve(work(Path("run"), Path("token")), home=tmp_path / "home")
    there.do(torch.device("cpu"), World(), Silent(), DirectLink(mailbox=Mailbox()))
    assert (tmp_path / "home" / "run" / "trained.safetensors").exists()
    assert Path(os.getcwd()) == tmp_path / "home"


def test_one_worker_is_a_world_of_its_own() -> None:
    world, network = world_of(0, 1, torch.device("cpu")), torch.nn.Linear(1, 1)
    assert (world.rank, world.size, world.wrap(network)) == (0, 1, network)


def test_the_cause_is_found_below_what_ray_wraps_it_in() -> None:
    class WrappedError(Exception):
        cause: object = None

    ours, outer = MixvelError("ours"), WrappedError("outer")
    outer.cause = ours
    assert cause_of(outer) is ours
    assert cause_of(ours) is ours
