"""What `mixvel check` says of time, by a few steps here, and of what cannot be; it writes to the user's cache alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command
from whole_runs import TRAINED, snapshot

import mixvel_core.cost.measure as measure


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place with a recipe, and a cache of its own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("MIXVEL_DATA", str(tmp_path / "cache"))
    Path("recipe.yaml").write_text(TRAINED)


def checked(mixvel: Command, *arguments: str) -> str:
    done = mixvel("check", "recipe.yaml", *arguments)
    assert done.code == 0, done.err
    return done.out


def test_time_is_measured_once_for_each_design_and_nothing_else_is_written(
    mixvel: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = checked(mixvel)
    assert said.count("measured here") == 3, said
    assert "of a worker" in said
    assert "not measured" not in said
    assert [path.name for path in Path().iterdir()] == ["recipe.yaml"]
    assert [path.name for path in Path("../cache").iterdir()] == ["speeds.json"]
    # Experts and monolith are one design; the router is another.
    assert len(json.loads(Path("../cache/speeds.json").read_text())) == 2

    def timed(*_: object) -> float:
        raise AssertionError("measured again")

    monkeypatch.setattr(measure, "_timed", timed)
    assert checked(mixvel).split() == said.split()


def test_what_cannot_be_measured_says_so(mixvel: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_MOST_FLOPS", 1)
    assert "not measured" in checked(mixvel)
    monkeypatch.undo()


def test_a_cache_that_cannot_be_written_is_no_hindrance(mixvel: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").write_text("")
    monkeypatch.setenv("MIXVEL_DATA", "file/store")
    assert "measured here" in checked(mixvel)


def test_a_run_folder_that_is_there_is_no_reason_to_refuse(mixvel: Command) -> None:
    assert mixvel("run", "recipe.yaml", "--expert", "0").code == 0
    before = snapshot(Path("runs"))
    said = checked(mixvel, "expert.train.steps=7")
    assert "refused     here: runs/trained: expert 0 was trained with another `expert`" in said
    assert "to make     partition, experts, monolith" in said
    assert snapshot(Path("runs")) == before


WRONG = {
    "launcher.device=cuda": "launcher local: device cuda is not available here; use auto or cpu",
    "expert.attention=at-16": "expert unet: attention at-16 is on none of its levels of width 8, 4",
    "monolith.attention=at-16": "expert unet: attention at-16 is on none of its levels of width 8, 4",
}


@pytest.mark.parametrize("override", WRONG)
def test_what_the_plan_can_know_it_says(mixvel: Command, override: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for verb in ("check", "run"):
        done = mixvel(verb, "recipe.yaml", override)
        assert done.code == 2
        assert WRONG[override] in done.err
    assert not Path("runs").exists()
