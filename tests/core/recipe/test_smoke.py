"""Toy size: what `--smoke` makes of any recipe, what it leaves alone, and that all that comes out says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve
from fake_plugins import RECIPE, CountOptions, NetOptions, definition, fake_registry, module, source
from whole_runs import EXACT, registry, run

from mixvel_core.errors import DataError, RecipeError
from mixvel_core.pipeline import run as pipeline
from mixvel_core.pipeline.plan import plan
from mixvel_core.plugin.definition import PluginDef
from mixvel_core.plugin.discovery import Registry, make_registry
from mixvel_core.protocols.progress import Silent
from mixvel_core.recipe.dump import dump
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import load_recipe, resolve
from mixvel_core.recipe.text import parse

REGISTRY = fake_registry()
SMOKE = """
smoke:
  expert.train.steps: 3
  sample.count: 5
  schedule.beta_max: 4.0
"""


def read(text: str, *overrides: str, smoke: bool = True, registry: Registry = REGISTRY) -> Recipe:
    return resolve(parse(text, "r.yaml"), overrides, registry, smoke=smoke)


def test_without_the_flag_the_section_has_no_effect() -> None:
    assert read(RECIPE + SMOKE, smoke=False) == read(RECIPE, smoke=False)


def test_every_recipe_has_a_toy_size_and_is_marked() -> None:
    small = read(RECIPE)
    assert (small.smoke, small.name) == (True, "small-smoke")
    networks = (small.expert, small.monolith, small.routers["learned"])
    assert [use.options.train.steps for use in networks if use is not None] == [10, 10, 10]
    assert small.expert.options.train.learning_rate == 2e-4
    assert (small.sample.count, small.sample.steps, small.report.calibration) == (16, (2, 3), 8)


@pytest.mark.parametrize(
    ("override", "steps"),
    [
        ("expert.train.steps=5", [5, 10]),
        ("expert.train={steps: 5}", [5, 10]),
        ("monolith={use: net, train: {steps: 6}}", [10, 6]),
        ("train.steps=7", [10, 7]),
        ("train={steps: 7}", [10, 7]),
    ],
)
def test_what_the_section_or_an_override_sets_stays(override: str, steps: list[int]) -> None:
    small = read(RECIPE, override)
    assert small.monolith is not None
    # `train` is for networks whose own options do not say it, and the expert's do.
    assert [small.expert.options.train.steps, small.monolith.options.train.steps] == steps
    chosen = read(RECIPE + SMOKE)
    assert (chosen.expert.options.train.steps, chosen.sample.count) == (3, 5)
    assert chosen.schedule.options.beta_max == 4.0


def _with_toys() -> Registry:
    def toy(one: PluginDef[object, object], **smoke: object) -> PluginDef[object, object]:
        return evolve(one, smoke={key.replace("__", "."): value for key, value in smoke.items()})

    own = [
        toy(definition("expert", "net", NetOptions), channels=[4], train__ema=0.5),
        toy(definition("data", "far", CountOptions), use="digits"),
    ]
    rest = [entry.definition for entry in REGISTRY.entries() if (entry.kind, entry.name) != ("expert", "net")]
    return make_registry([source(lambda: module(*own, *rest))])


def test_plugins_declare_toy_values_and_what_stands_in_for_them() -> None:
    text = RECIPE.replace("data: digits", "data: {use: far, count: 60000}")
    small = read(text, registry=_with_toys())
    assert small.data is not None
    assert small.data.name == "digits"
    assert (small.expert.options.channels, small.expert.options.train.ema) == ((4,), 0.5)
    near = read(text, "data.count=3", "expert.channels=[6, 6]", registry=_with_toys())
    assert near.data is not None
    assert (near.data.name, near.data.options.count, near.expert.options.channels) == ("far", 3, (6, 6))


def test_the_resolved_recipe_reads_back_marked_with_or_without_the_flag() -> None:
    small = read(RECIPE + SMOKE)
    assert read(dump(small), smoke=False) == small
    assert read(dump(small), smoke=True) == small


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ("smoke:\n  expert.train.steps: many\n", "expert.train.steps"),
        ("smoke:\n  expert.train.stps: 3\n", "expert.train.stps"),
        ("smoke:\n  seed.of: 3\n", "seed.of"),
        ("smoke: 3\n", "smoke"),
    ],
)
def test_what_is_wrong_in_the_section_is_found_at_its_own_line(section: str, path: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read(RECIPE.rstrip() + "\n" + section)
    (found,) = caught.value.problems
    place = len(RECIPE.rstrip().splitlines()) + (2 if "  " in section else 1)
    assert found.startswith(f"r.yaml:{place}  {path}  ")


def test_every_output_says_that_it_is_a_smoke_run_and_a_full_run_says_nothing(tmp_path: Path) -> None:
    for folder, line in ((tmp_path / "toy", "smoke: true\n"), (tmp_path / "full", "")):
        run(EXACT + line, folder)
        scores = json.loads((folder / "scores.json").read_text())
        said = {row["conditions"].get("smoke") for row in scores["rows"] + scores["floors"]}
        assert said == ({"toy size"} if line else {None})
        assert json.loads((folder / "report" / "report.json").read_text())["smoke"] is bool(line)


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
