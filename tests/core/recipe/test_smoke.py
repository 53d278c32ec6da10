"""Smoke: what a recipe's own section makes of it, and that all that comes out says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_plugins import RECIPE, fake_registry
from whole_runs import EXACT, run

from mixvel_core.errors import RecipeError
from mixvel_core.recipe.dump import dump
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import resolve
from mixvel_core.recipe.text import parse

REGISTRY = fake_registry()
SMOKE = """
smoke:
  expert.train.steps: 3
  sample.steps: [2]
  schedule.beta_max: 4.0
"""


def read(text: str, *overrides: str, smoke: bool) -> Recipe:
    return resolve(parse(text, "r.yaml"), overrides, REGISTRY, smoke=smoke)


def problems(text: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(RecipeError) as caught:
        read(text, *overrides, smoke=True)
    return caught.value.problems


def test_without_the_flag_the_section_has_no_effect() -> None:
    assert read(RECIPE + SMOKE, smoke=False) == read(RECIPE, smoke=False)


def test_the_flag_sets_what_the_section_says_and_marks_the_recipe() -> None:
    small = read(RECIPE + SMOKE, smoke=True)
    assert small.smoke
    assert small.name == "small-smoke"
    assert small.expert.options.train.steps == 3
    assert small.sample.steps == (2,)
    assert small.schedule.options.beta_max == 4.0


def test_overrides_come_last() -> None:
    assert read(RECIPE + SMOKE, "expert.train.steps=5", smoke=True).expert.options.train.steps == 5


def test_the_resolved_recipe_reads_back_marked_with_or_without_the_flag() -> None:
    small = read(RECIPE + SMOKE, smoke=True)
    assert read(dump(small), smoke=False) == small
    assert read(dump(small), smoke=True) == small


def test_a_recipe_without_the_section_says_so() -> None:
    (line,) = problems(RECIPE)
    assert "smoke  is missing" in line


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("smoke:\n  expert.train.steps: many\n", "expert.train.steps  must be an integer"),
        ("smoke:\n  expert.train.stps: 3\n", "expert.train.stps  unknown option; did you mean steps?"),
        ("smoke:\n  seed.of: 3\n", "seed.of  `seed` is 7 and has no options"),
        ("smoke: 3\n", "smoke  is missing"),
    ],
)
def test_what_is_wrong_in_the_section_is_found_at_its_own_line(section: str, line: str) -> None:
    (found,) = problems(RECIPE.rstrip() + "\n" + section)
    place = len(RECIPE.rstrip().splitlines()) + (2 if "  " in section else 1)
    assert found.startswith(f"r.yaml:{place}  ")
    assert line in found


def test_every_output_says_that_it_is_a_smoke_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(EXACT + "smoke: true\n", folder)
    assert "smoke: true" in (folder / "recipe.yaml").read_text()
    scores = json.loads((folder / "scores.json").read_text())
    assert {row["conditions"]["smoke"] for row in scores["rows"] + scores["floors"]} == {"toy size"}
    assert json.loads((folder / "report" / "report.json").read_text())["smoke"] is True
    assert "Smoke run." in (folder / "report" / "index.html").read_text()


def test_a_full_run_says_nothing_of_smoke(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(EXACT, folder)
    assert "toy size" not in (folder / "scores.json").read_text()
    assert "Smoke run." not in (folder / "report" / "index.html").read_text()
