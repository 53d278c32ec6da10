"""mixvel recipes: what comes with mixvel is listed and copied, from a wheel and from a source checkout."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command
from fake_plugins import RECIPE

from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.resolve import load_recipe

RECIPES = Path(__file__).parents[3] / "recipes"


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipes as a wheel leaves them: in a folder beside the package."""
    site = tmp_path / "site"
    (site / "mixvel_recipes").mkdir(parents=True)
    (site / "mixvel_recipes" / "small.yaml").write_text(RECIPE)
    monkeypatch.setattr("mixvel_core.cli.recipes.__file__", str(site / "mixvel_core" / "cli" / "recipes.py"))
    monkeypatch.chdir(tmp_path)
    return site / "mixvel_recipes"


def test_recipes_are_listed_and_copied_but_overwrite_nothing(mixvel: Command, shipped: Path) -> None:
    assert [line.split() for line in mixvel("recipes").out.splitlines()[1:]] == [
        ["small", "A", "recipe", "of", "fakes"]
    ]
    done = mixvel("recipes", "cp", "small")
    assert done.code == 0, done.err
    assert Path("small.yaml").read_text() == RECIPE
    again = mixvel("recipes", "cp", "small")
    assert again.code == 2
    assert again.err.startswith("error: small.yaml: is there already")
    assert mixvel("recipes", "cp", "small.yaml", "mine/first.yaml").code == 0
    assert Path("mine/first.yaml").read_text() == RECIPE
    wrong = mixvel("recipes", "cp", "smal")
    assert wrong.code == 2
    assert "did you mean small?" in wrong.err


def test_without_recipes_it_says_so(mixvel: Command, shipped: Path) -> None:
    (shipped / "small.yaml").unlink()
    assert mixvel("recipes").code == 3


def test_a_source_checkout_lists_its_own_recipes(mixvel: Command) -> None:
    names = {line.split()[0] for line in mixvel("recipes").out.splitlines()[1:]}
    assert names == {path.stem for path in RECIPES.glob("*.yaml")}
    assert names


def test_the_study_of_trajectories_is_of_the_run_of_the_digits() -> None:
    """In one run folder: what else they say differently would be refused there, or made again."""
    digits, trajectory = (plain(load_recipe(RECIPES / f"{name}.yaml")) for name in ("digits", "trajectory"))
    assert digits.pop("study") != trajectory.pop("study")
    assert trajectory == digits
