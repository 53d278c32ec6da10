"""Whole runs: what they leave, what running again does, what may change, and where they stop."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from whole_runs import EXACT, TRAINED, files, results, run, save_classes, snapshot

from mixvel_core.artifacts.files import read_json
from mixvel_core.errors import DataError, RecipeError, UsageError
from mixvel_core.pipeline.run import STAGES

HEAVY = {"torch", "ray", "sklearn", "matplotlib", "diffusers", "scipy", "ot"}


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run without training; nobody changes it."""
    folder = tmp_path_factory.mktemp("exact") / "run"
    run(EXACT, folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with training; nobody changes it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    run(TRAINED, folder)
    return folder


@pytest.fixture
def copy(exact: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed."""
    return Path(shutil.copytree(exact, tmp_path / "copy"))


def test_every_stage_leaves_its_artifacts(trained: Path) -> None:
    found = set(files(trained))
    models = {f"{m}/{f}" for m in ("experts/0", "experts/1", "experts/2", "monolith", "routers/a") for f in MODEL}
    shards = {f"shards/{k}/{f}" for k in range(3) for f in ("items.npy", "shard.json")}
    samples = {f"samples/{m}/steps-2-seed-0.{e}" for m in ("alone", "drawn", "mixed") for e in ("npz", "json")}
    rest = {"recipe.yaml", "shards/data.json", "scores.json", "report/index.html", "report/report.json"}
    assert models | shards | samples | rest <= found
    assert {p.parent.name for p in (trained / "tensorboard").rglob("events*")} == {
        "expert-0", "expert-1", "expert-2", "monolith", "router-a", "00 alone", "01 drawn", "02 mixed"
    }  # fmt: skip
    assert not [name for name in found if Path(name).name.startswith(".")], "nothing temporary stays behind"


MODEL = ("model.safetensors", "config.json", "done.json")


def test_the_artifacts_are_of_the_data_and_the_recipe(trained: Path) -> None:
    shards = [np.load(trained / f"shards/{k}/items.npy") for k in range(3)]
    assert [len(items) for items in shards] == [178, 182 + 177 + 183 + 181, 182 + 181 + 179 + 174 + 180]
    config = read_json(trained / "experts/1/config.json")
    assert (config["count"], config["shape"]) == (723, [1, 8, 8])
    assert config["fraction"] == pytest.approx(723 / 1797)
    assert read_json(trained / "monolith/config.json")["index"] == -1
    with np.load(trained / "samples/drawn/steps-2-seed-0.npz") as drawn:
        assert drawn["x"].shape == (6, 1, 8, 8)
        assert np.isfinite(drawn["x"]).all()
        assert drawn["evaluations"].tolist() == [2] * 6
    scores = read_json(trained / "scores.json")
    assert {row["method"] for row in scores["rows"]} == {"alone", "drawn", "mixed"}
    with np.load(trained / "samples/mixed/steps-2-seed-0.npz") as mixed:
        assert mixed["evaluations"].tolist() == [6] * 6


def test_running_again_changes_nothing_and_loads_nothing(trained: Path) -> None:
    before = snapshot(trained)
    code = (
        "import sys; from mixvel_core.cli.main import main\n"
        f"try: main()\nfinally: print(sorted({HEAVY} & sys.modules.keys()), file=sys.stderr)"
    )
    recipe = trained.parent / "recipe.yaml"
    recipe.write_text(TRAINED)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(recipe), "--out", str(trained)], capture_output=True, text=True
    )
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime < 5
    assert snapshot(trained) == before


def test_where_and_how_fast_it_runs_and_what_is_shown_may_change(copy: Path) -> None:
    before = snapshot(copy)
    less = ["launcher.parallel=2", "sample.batch=3", "sample.resident_experts=1", "study={count: 4}"]
    run(EXACT, copy, *less, "report.images=5", "plan.utilisation=0.5", "plan.at_once=3")
    changed = {name for name, facts in snapshot(copy).items() if facts != before.get(name)}
    # The page shows the recipe, so it is drawn again.
    assert {"recipe.yaml"} <= changed <= {"recipe.yaml", "report/index.html", "report/report.json", "report/done.json"}
    assert "images: 5" in (copy / "recipe.yaml").read_text()


def test_fresh_starts_over_with_any_recipe(copy: Path, tmp_path: Path) -> None:
    run(EXACT, copy, "data.components=2", fresh=(), stage="evaluate")
    run(EXACT, tmp_path / "new", "data.components=2", stage="evaluate")
    assert files(copy).keys() == files(tmp_path / "new").keys()
    assert results(copy) == results(tmp_path / "new")


def test_fresh_throws_nothing_away_before_the_data_are_there(copy: Path) -> None:
    before = snapshot(copy)
    with pytest.raises(DataError):
        run(EXACT, copy, "data={use: numpy, path: nowhere.npz}", "expert=empirical", "monolith=empirical", fresh=())
    with pytest.raises(RecipeError):
        run(EXACT, copy, "expert={use: unet, channels: [4]}", fresh=())
    assert snapshot(copy) == before


SCORED = {"scores.json", "scored.json", "cells.json"}
MADE_BY = {
    "partition": {"shards"},
    "experts": {"shards", "experts"},
    "monolith": {"shards", "monolith"},
    "routers": {"shards", "routers"},
    "sample": {"shards", "experts", "monolith", "routers", "samples"},
    "evaluate": {"shards", "experts", "monolith", "routers", "samples", "cost"} | SCORED,
}


@pytest.mark.parametrize("stage", MADE_BY)
def test_a_stage_makes_what_it_needs_and_no_more(tmp_path: Path, stage: str) -> None:
    run(EXACT, tmp_path / "run", stage=stage)
    assert {p.name for p in (tmp_path / "run").iterdir()} == MADE_BY[stage] | {"recipe.yaml", "questions"}


def test_stage_after_stage_is_the_run_in_one_go(exact: Path, tmp_path: Path) -> None:
    for k in (2, 0):
        run(EXACT, tmp_path, expert=k)
    assert {p.name for p in (tmp_path / "experts").iterdir()} == {"0", "2"}
    for stage in STAGES:
        run(EXACT, tmp_path, stage=stage)
    assert files(tmp_path).keys() == files(exact).keys()
    assert results(tmp_path) == results(exact)


def test_one_shard_is_enough(tmp_path: Path) -> None:
    everything = "partition.groups=[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]"
    run(TRAINED, tmp_path, everything, stage="evaluate")
    assert [p.name for p in (tmp_path / "experts").iterdir()] == ["0"]
    arrays = [np.load(tmp_path / f"samples/{method}/steps-2-seed-0.npz") for method in ("drawn", "mixed")]
    # Every selector has the one expert to select.
    assert (arrays[0]["x"] == arrays[1]["x"]).all()
    assert arrays[0]["evaluations"].tolist() == arrays[1]["evaluations"].tolist() == [2] * 6


def test_what_came_from_a_partition_goes_with_it(tmp_path: Path) -> None:
    """Shards that have to be made again, from data that changed meanwhile: nothing of the old run is taken up."""
    data = f"data={{use: numpy, path: {tmp_path / 'data.npz'}, labels: labels}}"
    save_classes(tmp_path / "data.npz", seed=1)
    run(TRAINED, tmp_path / "run", data, "partition=labels", stage="evaluate")
    before = snapshot(tmp_path / "run")
    (tmp_path / "run/shards/1/items.npy").unlink()
    run(TRAINED, tmp_path / "run", data, "partition=labels", stage="evaluate")
    assert not [n for n, facts in snapshot(tmp_path / "run").items() if n[:6] != "shards" and facts != before[n]]

    save_classes(tmp_path / "data.npz", seed=2)
    (tmp_path / "run/shards/1/items.npy").unlink()
    lost = "experts 0 to 2, the monolith and router a were trained on other data than there are now; .* would be lost"
    with pytest.raises(UsageError, match=lost):
        run(TRAINED, tmp_path / "run", data, "partition=labels", stage="evaluate")
    run(TRAINED, tmp_path / "run", data, "partition=labels", stage="evaluate", fresh=["all"])
    run(TRAINED, tmp_path / "new", data, "partition=labels", stage="evaluate")
    assert results(tmp_path / "run") == results(tmp_path / "new")
    assert not [n for n, facts in snapshot(tmp_path / "run").items() if n[:6] == "expert" and facts == before.get(n)]


def test_grids_that_the_schedule_has_not_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    native = EXACT.replace("  steps: [2, 3]\n", "  steps: [2, 3]\n  delta: 0\n").replace(
        "mixed: {}", "mixed: {grid: native}"
    )
    with pytest.raises(RecipeError, match="grid native: the schedule Cosine has no steps of its own"):
        run(native, tmp_path / "run")
    assert not list(tmp_path.rglob("*.npy"))
    with pytest.raises(RecipeError, match="1001 steps, but the table of the schedule has 1000"):
        run(native.replace("vp-cosine", "ddpm-table").replace("[2, 3]", "[2, 1001]"), tmp_path / "run")


def test_more_weights_or_experts_than_there_are_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    too_many = (
        "sample.methods={first: {weights: {top: 7}}, second: {weights: {top: 3}, selector: {use: topk, k: 4}},"
        " third: {selector: {use: topk, k: 3}}, fourth: {selector: {use: cached, tolerance: 0.3, max_experts: 5}}}"
    )
    study = "study.selectors=[mixture, {use: topk, k: 6}]"
    with pytest.raises(RecipeError) as refused:
        run(EXACT, tmp_path / "run", too_many, study)
    assert refused.value.problems == tuple(
        f"{place}  must be at most 3, the number of experts, not {count}"
        for place, count in {
            "sample.methods.first.weights.top": 7,
            "sample.methods.second.selector.k": 4,
            "sample.methods.fourth.selector.max_experts": 5,
            "study.selectors.1.k": 6,
        }.items()
    )
    assert not (tmp_path / "run").exists()


def test_grids_of_the_study_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    noise = ("sample.delta=0.999", "study={grids: [uniform, karras], steps: [2]}")
    with pytest.raises(RecipeError, match=r"^study\.grids  grid karras: 2 steps to delta 0\.999 do not fall strictly"):
        run(EXACT, tmp_path / "run", *noise)
    assert not list(tmp_path.rglob("*.npy"))
