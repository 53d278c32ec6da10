"""The section `train`: every network that trains has it, its own `train` wins, and nothing of it is lost silently."""

from __future__ import annotations

import pytest
from fake_plugins import RECIPE, fake_registry

from mixvel_core.errors import RecipeError
from mixvel_core.recipe.dump import dump, to_plain
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import resolve
from mixvel_core.recipe.text import parse

REGISTRY = fake_registry()
TRAIN = "train:\n  steps: 40\n  batch: 16\n"


def read(text: str, *overrides: str) -> Recipe:
    return resolve(parse(text, "r.yaml"), overrides, REGISTRY)


def refused(text: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        read(text, *overrides)
    return ["  ".join(line.split("  ")[:2]) for line in caught.value.problems]


def test_networks_take_what_they_do_not_set_themselves() -> None:
    short = read(RECIPE + TRAIN)
    assert short == read(
        RECIPE, "expert.train.batch=16", "monolith.train={steps: 40, batch: 16}", "routers.learned.train.batch=16"
    )
    assert short.expert.options.train.steps == 500
    assert short.monolith is not None
    assert short.monolith.options.train.steps == 40


def test_the_resolved_recipe_has_every_option_in_every_network_and_reads_back() -> None:
    made = read(RECIPE + TRAIN)
    assert to_plain(made)["train"] is None
    assert to_plain(made)["routers"]["learned"]["train"]["batch"] == 16
    assert read(dump(made)) == made


def test_an_override_of_the_section_reaches_the_networks_or_is_refused() -> None:
    assert read(RECIPE, "train.batch=8").routers["learned"].options.train.batch == 8
    assert refused(dump(read(RECIPE)), "train.batch=8") == ["train.batch=8 (command line)  train.batch"]


def test_what_is_wrong_in_the_section_is_one_problem_where_it_stands() -> None:
    line = len(RECIPE.splitlines())
    assert refused(RECIPE + "train: {stps: 3}\n") == [f"r.yaml:{line + 1}  train.stps"]
    assert refused(RECIPE + "train:\n  steps: 3\n  batch: 0\n") == [f"r.yaml:{line + 3}  train.batch"]
    assert refused(RECIPE + "train: 3\n") == [f"r.yaml:{line + 1}  train"]
