"""Sizes: what the section makes of a recipe, and what is said of a size that it has not."""

from __future__ import annotations

import pytest
from fake_plugins import RECIPE, fake_registry

from mixvel_core.errors import RecipeError
from mixvel_core.recipe.dump import dump
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import resolve
from mixvel_core.recipe.text import parse

REGISTRY = fake_registry()
SIZES = """
sizes:
  two-cores:
    expert.train.steps: 3
    sample.steps: [2]
  gpu:
    schedule.beta_max: 4.0
"""


def read(text: str, *overrides: str, size: str | None = None, smoke: bool = False) -> Recipe:
    return resolve(parse(text, "r.yaml"), overrides, REGISTRY, size=size, smoke=smoke)


def problem(text: str, size: str | None) -> str:
    with pytest.raises(RecipeError) as caught:
        read(text, size=size)
    assert caught.value.exit_code == 2
    (line,) = caught.value.problems
    return line


def test_without_a_size_the_section_has_no_effect() -> None:
    assert read(RECIPE + SIZES) == read(RECIPE)


def test_a_size_sets_what_it_says_and_nothing_of_another() -> None:
    small, gpu = read(RECIPE + SIZES, size="two-cores"), read(RECIPE + SIZES, size="gpu")
    assert (small.name, gpu.name) == ("small-two-cores", "small-gpu")
    assert (small.expert.options.train.steps, small.sample.steps) == (3, (2,))
    assert gpu.schedule.options.beta_max == 4.0
    assert gpu.sample == read(RECIPE).sample


def test_overrides_come_last_and_the_resolved_recipe_reads_back() -> None:
    made = read(RECIPE + SIZES, "expert.train.steps=5", size="two-cores")
    assert made.expert.options.train.steps == 5
    assert "sizes" not in dump(made)
    assert read(dump(made)) == made


def test_a_size_can_be_run_at_toy_size() -> None:
    made = read(RECIPE + SIZES + "smoke:\n  sample.count: 4\n", size="two-cores", smoke=True)
    assert (made.name, made.sample.count, made.sample.steps) == ("small-two-cores-smoke", 4, (2, 3))


def test_an_unknown_size_gets_the_nearest_name() -> None:
    line = problem(RECIPE + SIZES, "two-core")
    assert "sizes  has no 'two-core'; did you mean two-cores?  (sizes: two-cores, gpu)" in line
    assert line.startswith(f"r.yaml:{len(RECIPE.splitlines()) + 2}  ")
    assert "sizes  is missing, so there is no size 'gpu'" in problem(RECIPE, "gpu")


@pytest.mark.parametrize("section", ["3", "[a]", "{a: 3}", "{a: {}}"])
def test_a_section_that_is_none_is_a_problem_with_or_without_the_flag(section: str) -> None:
    for size in ("a", None):
        assert "sizes  must hold sizes by name" in problem(RECIPE.rstrip() + f"\nsizes: {section}\n", size)


def test_what_is_wrong_in_a_size_is_found_at_its_own_line() -> None:
    text = RECIPE.rstrip() + "\nsizes:\n  a:\n    expert.train.stps: 3\n"
    line = problem(text, "a")
    assert line.startswith(f"r.yaml:{len(text.splitlines())}  ")
    assert "expert.train.stps  unknown option; did you mean steps?" in line
