"""The recipes at size: found, checked at both sizes, and one of them run whole at less than toy size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from whole_runs import registry

from mixvel_core.errors import DataError
from mixvel_core.pipeline import run as pipeline
from mixvel_core.pipeline.plan import plan
from mixvel_core.protocols.progress import Silent
from mixvel_core.recipe.resolve import load_recipe

RECIPES = Path(__file__).parents[3] / "recipes"
AT_SIZE = ("cifar10", "celebahq", "celebahq-256")
NETWORKS = ("expert", "monolith", "routers.a", "routers.da", "routers.naive")
SMALLEST = [
    *(f"{network}.train.{option}" for network in NETWORKS for option in ("steps=2", "batch=4", "warmup=1")),
    "sample.count=4",
    "sample.steps=[2]",
    "report.images=4",
    "report.calibration=1",
]


@pytest.mark.parametrize("name", AT_SIZE)
def test_without_data_the_way_to_get_them_is_said_and_nothing_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(RECIPES / f"{name}.yaml", [], registry())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"get (it|CelebAMask-HQ).* with `") as caught:
        pipeline.run(recipe, tmp_path / "run", progress=Silent())
    assert caught.value.exit_code == 3
    assert [p.name for p in tmp_path.iterdir()] == []


@pytest.mark.parametrize("name", AT_SIZE)
def test_at_toy_size_recipe_and_data_fit_together(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(RECIPES / f"{name}.yaml", [], registry(), smoke=True)
    assert recipe.name == f"{name}-smoke"
    assert "procedural" in str(plan(recipe, tmp_path / "run"))


def test_the_paper_rows_and_ours_from_procedural_faces_to_a_report(tmp_path: Path) -> None:
    recipe = load_recipe(RECIPES / "celebahq.yaml", SMALLEST, registry(), smoke=True)
    pipeline.run(recipe, tmp_path, progress=Silent())
    found = json.loads((tmp_path / "report" / "report.json").read_text())
    assert found["smoke"] is True
    assert {row["method"] for row in found["table"]} == set(recipe.sample.methods)
    assert {row["metric"] for row in found["table"]} == {
        f"{m}-random-conv" for m in ("frechet", "kernel", "precision", "recall")
    }
    assert any("Male" in shard["name"] for shard in found["shards"])
