"""Each model is there when it is trained: a run that was stopped half-way has usable experts, and says which."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import frozen
from command import Command
from whole_runs import EXACT, TRAINED, recipe_of, results, run

from mixvel_core.federated.assemble import assemble
from mixvel_core.pipeline import run as pipeline
from mixvel_core.protocols.progress import SILENT, ProgressTask, Silent


@frozen(kw_only=True)
class Stopping(Silent):
    """Ctrl-C at the first step of the training ``name``; what is there then is looked at first."""

    name: str
    run: Path
    there: list[str]

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[ProgressTask]:
        """Its first update stops the training that is named."""
        with SILENT.task(name, total, unit) as bar:
            yield Update(stopping=self, bar=bar) if name == self.name else bar


@frozen(kw_only=True)
class Update:
    stopping: Stopping
    bar: ProgressTask

    def update(self, done: int, note: str = "") -> None:
        if done:
            run = self.stopping.run
            self.stopping.there.extend(sorted(p.parent.name for p in (run / "experts").glob("*/done.json")))
            raise KeyboardInterrupt


def stop_at(name: str, folder: Path, *overrides: str) -> list[str]:
    """Runs until the training ``name`` has begun, and is interrupted; the experts that were there then."""
    progress = Stopping(name=name, run=folder, there=[])
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(recipe_of(TRAINED, *overrides), folder, progress=progress)
    return progress.there


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with ``recipe.yaml`` and a run that was stopped at expert 2; nobody changes it."""
    place = tmp_path_factory.mktemp("stopped")
    (place / "recipe.yaml").write_text(TRAINED)
    assert stop_at("expert-2", place / "runs/trained") == ["0", "1"]
    return place


@pytest.fixture
def here(stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, where the test is; returns the run folder."""
    monkeypatch.chdir(shutil.copytree(stopped, tmp_path / "here"))
    return Path("runs/trained")


def test_sample_and_check_say_which_experts_are_usable(mixvel: Command, here: Path) -> None:
    done = mixvel("sample", str(here))
    assert (done.code, done.problems) == (2, [
        "error: runs/trained: expert 2 is not made yet; experts 0 and 1 are, and `mixvel assemble` takes them; "
        "`mixvel run runs/trained/recipe.yaml --out runs/trained` makes it"
    ])  # fmt: skip
    checked = mixvel("check", "recipe.yaml").out
    assert "2 of 3 done: 0 and 1" in checked
    assert "to make     experts (2 of 3 done: 0 and 1), monolith, router a, sample, evaluate, report" in checked


def test_assemble_takes_those_of_a_run_and_names_the_one_that_is_not_trained(mixvel: Command, here: Path) -> None:
    every = [str(path) for path in sorted((here / "experts").iterdir())]
    done = mixvel("assemble", *every, "--out", "two")
    assert done.code == 3
    assert "runs/trained/experts/2: not trained to its end; leave it out, or go on with `mixvel run" in done.err
    router = "routers={prior: fixed}"
    assert mixvel("assemble", *every[:2], "--out", "two", router, "sample.methods={m: {}}").code == 0
    assert mixvel("run", "two/recipe.yaml", "--out", "two").code == 0
    assert mixvel("sample", "two", "--count", "2", "--steps", "2").code == 0


def test_going_on_gives_the_bits_of_a_run_that_nothing_stopped(here: Path, tmp_path: Path) -> None:
    run(TRAINED, here, stage="experts")
    run(TRAINED, tmp_path / "straight", stage="experts")
    assert results(here) == results(tmp_path / "straight")


def test_side_by_side_they_are_finished_one_by_one_too(tmp_path: Path) -> None:
    longer = ("launcher.parallel=2", "expert.train.steps=4", "monolith.train.steps=40", "routers.a.train.steps=2")
    stop_at("router-a", tmp_path, *longer)
    assert {p.parent.name for p in tmp_path.glob("experts/*/done.json")} == {"0", "1", "2"}


def test_what_is_made_is_sampled_before_the_rest_is(
    mixvel: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(EXACT)
    for stage in ("experts", "routers"):
        assert mixvel("run", "recipe.yaml", "--out", "run", "--stage", stage).code == 0
    assert mixvel("sample", "run", "--count", "2").code == 0
    done = mixvel("sample", "run", "--monolith")
    assert "run: the monolith is not made yet" in done.err


def test_all_experts_of_a_run_assemble_to_the_same_samples(mixvel: Command, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    run(TRAINED, one, stage="experts")
    folders = sorted((one / "experts").iterdir())
    assemble(folders, other, recipe=None, overrides=[], progress=SILENT)
    for k in range(3):
        same = f"experts/{k}/model.safetensors"
        assert results(one)[same] == results(other)[same]
    done = mixvel("assemble", str(one / "shards"), "--out", str(tmp_path / "third"))
    assert "shards: no expert here" in done.err
