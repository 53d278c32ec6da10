"""Every recipe that comes with mixvel is right, at full size and at toy size; their data may be elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import ROOT
from whole_runs import registry

from mixvel_core.recipe.resolve import load_recipe

RECIPES = sorted(path for path in (ROOT / "recipes").rglob("*") if path.suffix in (".yaml", ".yml"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_they_are_found() -> None:
    assert len(RECIPES) >= 8


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_a_recipe_is_right_and_named_as_its_file(path: Path) -> None:
    assert load_recipe(path, [], registry()).name


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_its_toy_size_is_right_and_says_so(path: Path) -> None:
    small = load_recipe(path, [], registry(), smoke=True)
    assert small.smoke
    assert small.name.endswith("-smoke")


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_its_body_can_be_read_at_a_glance(path: Path) -> None:
    body = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert len(body) <= 60


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_it_begins_with_what_it_is_and_how_it_is_run(path: Path) -> None:
    first, *rest = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert first.startswith(f"# {path.stem}: ")
    assert any("mixvel " in line for line in rest)
