"""Shipped recipes, made wrong: each gets located lines and an exit code; made differently, they mean the same."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from recipe_answers import answer
from recipe_mutants import Mutant, mutants
from whole_runs import recipe_of, registry

from mixvel_core.recipe.dump import dump
from mixvel_core.recipe.resolve import load_recipe, resolve
from mixvel_core.recipe.text import parse

RECIPES = sorted((Path(__file__).parents[3] / "recipes").glob("*.yaml"))
_EACH = 40


def sampled(path: Path, count: int = _EACH) -> list[Mutant]:
    """As many mutants of a recipe, the same ones every time."""
    every = list(mutants(path.name, path.read_text(encoding="utf-8")))
    return random.Random(path.name).sample(every, count)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_each_wrong_recipe_is_answered_in_located_lines(path: Path, tmp_path: Path) -> None:
    answers = [answer(mutant, tmp_path) for mutant in sampled(path)]
    assert [found.fault for found in answers if found.fault] == []
    assert sum(found.refused for found in answers) > _EACH // 2


def test_documents_that_are_none(tmp_path: Path) -> None:
    path = next(path for path in RECIPES if path.stem == "mixture")
    whole = [mutant for mutant in mutants(path.name, path.read_text(encoding="utf-8")) if mutant.data is not None]
    assert len(whole) > 30
    assert [found.fault for found in (answer(mutant, tmp_path) for mutant in whole) if found.fault] == []


def backwards(value: Any) -> Any:
    """Plain data, the keys of all sections in the opposite order."""
    if isinstance(value, dict):
        return {key: backwards(part) for key, part in reversed(value.items())}
    return [backwards(part) for part in value] if isinstance(value, list) else value


def other_order(text: str) -> Any:
    """A recipe with every option, backwards but for routers and methods, whose order has a meaning."""
    plain = yaml.safe_load(dump(recipe_of(text)))
    found = backwards(plain)
    found["routers"], found["sample"]["methods"] = plain["routers"], plain["sample"]["methods"]
    return found


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_other_spellings_mean_the_same(path: Path) -> None:
    recipe = load_recipe(path, [], registry())
    plain = yaml.safe_load(dump(recipe))
    spellings = {
        "every option": dump(recipe),
        "another order": yaml.safe_dump(other_order(path.read_text(encoding="utf-8")), sort_keys=False),
        "on one line": yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=10_000),
        "quoted": yaml.safe_dump(plain, default_style=None, sort_keys=False, indent=7, allow_unicode=True),
        "explicit": yaml.safe_dump(plain, sort_keys=False, explicit_start=True, explicit_end=True),
    }
    for spelling, text in spellings.items():
        assert resolve(parse(text, "r"), [], registry()) == recipe, spelling
