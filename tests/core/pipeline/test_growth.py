"""A trained run answers new questions: what is there stays, bit for bit, and what is new is made."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from command import Command, Done
from whole_runs import TRAINED, snapshot

from mixvel_core.artifacts.artifact import Artifact
from mixvel_core.artifacts.files import read_json

MODELS = ("experts/", "monolith/", "routers/", "shards/")
ALL_TRAINED = "experts,monolith,routers.a"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with ``recipe.yaml`` and its finished run in ``runs/trained``; nobody changes it."""
    place = tmp_path_factory.mktemp("trained")
    (place / "recipe.yaml").write_text(TRAINED + "report: {calibration: 4, diagnostics: 0}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        from mixvel_core import run

        run("recipe.yaml")
    return place


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, where the test is; returns the run folder."""
    monkeypatch.chdir(shutil.copytree(trained, tmp_path / "here"))
    return Path("runs/trained")


def ask(mixvel: Command, *arguments: str) -> Done:
    done = mixvel("run", "recipe.yaml", *arguments)
    assert done.code == 0, done.err
    return done


def of_models(run: Path) -> dict[str, tuple[str, int]]:
    return {name: facts for name, facts in snapshot(run).items() if name.startswith(MODELS)}


def rows(run: Path) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = read_json(run / "scores.json")["rows"]
    return found


QUESTIONS = {
    "a step count": ["sample.steps=[2, 3]"],
    "a selector": ["sample.methods.best={selector: top1}"],
    "a seed": ["sample.seeds=[0, 1]"],
    "a metric": ["evaluate.metrics=[{use: sliced-w2, projections: 8}, w2]"],
    "twice the samples": ["sample.count=12"],
}


def test_five_questions_leave_the_models_and_every_row_before_as_they_were(mixvel: Command, here: Path) -> None:
    models, kept = of_models(here), snapshot(here / "samples")
    before = rows(here)
    for question in QUESTIONS.values():
        ask(mixvel, *question, "--stage", "evaluate")
        assert of_models(here) == models
        assert kept.items() <= snapshot(here / "samples").items()
        assert all(row in rows(here) for row in before)
        before, kept = rows(here), snapshot(here / "samples")
    assert {row["method"] for row in before} == {
        "alone", "drawn", "mixed", "best", "alone (count 12)", "drawn (count 12)", "mixed (count 12)"
    }  # fmt: skip
    done = ask(mixvel, "sample.count=12")
    assert "report: runs/trained/report/index.html" in done.out
    assert "drawn (count 12)" in done.out
    assert "12 more rows, of what was asked before, are in" not in done.out.replace("drawn", "")
    table = read_json(here / "report/report.json")["table"]
    assert {(row["method"], row["steps"], tuple(row["seeds"])) for row in table} >= {
        ("drawn", 2, (0, 1)), ("drawn", 3, (0,)), ("best", 2, (0,)), ("drawn (count 12)", 2, (0,))
    }  # fmt: skip
    page = (here / "report/index.html").read_text()
    assert "12 samples to t = 0.01" in page
    assert "6 samples to t = 0.01" in page


def test_a_run_that_is_done_says_so_and_where_the_report_is(mixvel: Command, here: Path) -> None:
    before = snapshot(here)
    done = ask(mixvel)
    assert "nothing to do: all is there; the report is runs/trained/report/index.html" in done.out
    assert "to make     nothing: all is there" in mixvel("check", "recipe.yaml").out
    assert snapshot(here) == before
    # How often trainings are saved changes no weight.
    often = "expert.train.checkpoint_every=3", "routers.a.train.log_every=1", "monolith.train.keep=1"
    assert "nothing to do" in ask(mixvel, *often, "--stage", "routers").out
    # Neither where it runs nor what a study would measure is a question to the samples.
    assert "nothing to do" in ask(mixvel, "launcher.parallel=2", "--stage", "evaluate").out


def test_what_was_asked_before_is_found_again(mixvel: Command, here: Path) -> None:
    ask(mixvel, "sample.delta=0.02", "--stage", "evaluate")
    after = rows(here)
    assert "sample" not in ask(mixvel, "--stage", "evaluate").out.replace("of one sample", "")
    ask(mixvel, "sample.delta=0.02", "--stage", "evaluate")
    assert sorted(map(str, rows(here))) == sorted(map(str, after))
    assert len(list((here / "questions").iterdir())) == 2
    assert {row["method"] for row in after} >= {"drawn", "drawn (delta 0.02)"}


ALL = "experts 0 to 2, the monolith and router a were trained with another"
STEPS = "expert.train.steps: 6 -> 7"
REFUSED = {
    "expert.train.steps=7": (
        "experts 0 to 2 were trained with another `expert` (expert.train.steps: 6 -> 7)",
        "experts",
    ),
    "monolith.channels=[4]": ("the monolith was trained with another `monolith` (monolith.channels", "monolith"),
    "routers.a.train.steps=7": ("router a was trained with another `routers.a` (routers.a.train.steps", "routers.a"),
    "seed=1": (f"{ALL} `seed` (seed: 0 -> 1)", ALL_TRAINED),
    "data={use: digits, labels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}": (f"{ALL} `data` (data.labels: null ->", ALL_TRAINED),
    "schedule=vp-linear": (f"{ALL} `schedule` (schedule.use: vp-cosine -> vp-linear", ALL_TRAINED),
}


@pytest.mark.parametrize("change", REFUSED)
def test_only_what_changes_trained_networks_is_refused(mixvel: Command, here: Path, change: str) -> None:
    line, names = REFUSED[change]
    before = snapshot(here)
    for verb in (("run",), ("run", "--dry-run"), ("run", "--fresh")):
        done = mixvel(*verb, "recipe.yaml", change)
        assert (done.code, len(done.problems)) == (2, 1), done.err
        assert f"error: runs/trained: {line}" in done.err
        assert "s of training would be lost: another --out keeps" in done.err
        assert f"`--fresh {names}` discards" in done.err
    assert snapshot(here) == before


def test_a_router_of_another_name_and_one_without_training_are_added(mixvel: Command, here: Path) -> None:
    models = of_models(here)
    done = ask(mixvel, "routers.prior=fixed", "sample.methods.guessed={router: prior}", "--stage", "evaluate")
    assert "already trained" not in done.out
    assert models.items() <= of_models(here).items()
    first = {row["value"] for row in rows(here) if row["method"] == "guessed"}
    ask(
        mixvel, "routers.prior={use: moments, rank: 2}", "sample.methods.guessed={router: prior}", "--stage", "evaluate"
    )
    assert models.items() <= of_models(here).items()
    assert {row["value"] for row in rows(here) if row["method"] == "guessed"} == first
    assert any(row["method"].startswith("guessed (") for row in rows(here))


def test_fresh_discards_trained_networks_only_by_name(mixvel: Command, here: Path) -> None:
    models = of_models(here)
    planned = mixvel("run", "recipe.yaml", "--dry-run", "--fresh", "experts")
    assert "discards    experts 0 to 2: " in planned.out
    assert "keeps       the monolith and router a: " in planned.out
    assert "to make     experts, sample, evaluate, report" in planned.out
    done = ask(mixvel, "--fresh", "--stage", "experts")
    assert f"`--fresh {ALL_TRAINED}` discards them" in done.out
    assert of_models(here) == models
    assert not (here / "samples").exists()
    ask(mixvel, "expert.train.steps=4", "--fresh", "experts", "--stage", "experts")
    changed = {name.split("/")[0] for name, facts in of_models(here).items() if models.get(name) != facts}
    assert changed == {"experts"}
    assert mixvel("run", "recipe.yaml", "--fresh", "expert").problems == [
        "error: --fresh expert: there is no such model; name some of all, experts, monolith, routers, routers.a"
    ]


def test_fresh_asks_a_terminal_and_takes_yes_in_a_script(
    mixvel: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return len(asked) > 1

    monkeypatch.setattr("mixvel_core.cli.run.typer.confirm", confirm)
    monkeypatch.setattr("mixvel_core.cli.run.is_terminal", lambda: True)
    ask(mixvel, "--fresh", "--stage", "partition")
    assert (here / "monolith").exists()
    ask(mixvel, "--fresh", "--stage", "partition")
    assert not (here / "monolith").exists()
    assert "has experts 0 to 2, the monolith and router a: " in asked[0]
    ask(mixvel, "--expert", "1")
    ask(mixvel, "--fresh", "--yes", "--stage", "partition")
    assert not (here / "experts").exists()


def test_a_study_by_other_settings_is_kept(mixvel: Command, here: Path) -> None:
    small = "study={selectors: [mixture], integrators: [ddim], steps: [2, 3], count: 2}"
    assert mixvel("study", str(here), small).code == 0
    first = (here / "study.json").read_bytes()
    assert mixvel("study", str(here), small.replace("count: 2", "count: 3")).code == 0
    [kept] = (here / "questions").glob("study-*.json")
    assert kept.read_bytes() == first != (here / "study.json").read_bytes()
    assert "nothing to do" in ask(mixvel, "--stage", "evaluate").out


def test_an_edited_recipe_of_a_run_is_a_question(mixvel: Command, here: Path) -> None:
    path = here / "recipe.yaml"
    path.write_text(path.read_text().replace("  steps:\n  - 2\n", "  steps:\n  - 4\n", 1))
    refused = mixvel("sample", str(here))
    assert refused.code == 4
    assert "edited since `mixvel run` wrote it, or damaged; `mixvel run runs/trained/recipe.yaml --out" in refused.err
    models = of_models(here)
    assert mixvel("run", str(path), "--out", str(here), "--stage", "evaluate").code == 0
    assert of_models(here) == models
    assert {row["steps"] for row in rows(here)} == {2, 4}
    path.write_text(path.read_text().replace("  steps:\n  - 4\n", "  steps:\n  - 5\n", 1))
    done = ask(mixvel, "--stage", "evaluate")
    assert "runs/trained/recipe.yaml: was edited, and is not what is asked now; kept as recipe.edited.yaml" in done.out


def test_a_run_of_a_version_that_kept_no_questions_grows_too(mixvel: Command, here: Path) -> None:
    before = rows(here)
    shutil.rmtree(here / "questions")
    (here / "cells.json").unlink()
    key = Artifact(folder=here, key="", name="scored").recorded_key() or ""
    Artifact(folder=here, key=key, name="scored").commit(["scores.json"])
    assert "nothing to do" in ask(mixvel, "--stage", "evaluate").out
    shutil.rmtree(here / "questions")
    ask(mixvel, "sample.count=4", "--stage", "evaluate")
    assert all(row in rows(here) for row in before)
    assert {row["method"] for row in rows(here)} > {row["method"] for row in before}


def test_the_recipe_of_a_run_is_run_in_its_own_folder(here: Path, mixvel: Command) -> None:
    shutil.copytree(here, Path("elsewhere"))
    before = snapshot(here)
    done = mixvel("run", "elsewhere/recipe.yaml", "sample.steps=[3]")
    assert done.code == 0, done.err
    assert "run folder  elsewhere" in done.out
    assert snapshot(here) == before
    # A copy of it alone is a recipe like any other.
    Path("copied").mkdir()
    shutil.copy(here / "recipe.yaml", "copied")
    assert "run folder  runs/trained" in mixvel("check", "copied/recipe.yaml").out
