"""Preflight finds what would fail late: routers in closed form by their `check`, and items that cannot be held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mixvel_core.errors import RecipeError
from mixvel_core.pipeline.preflight import preflight
from mixvel_core.recipe.resolve import load_recipe
from mixvel_routers.moments import MomentsFamily

RECIPE = Path(__file__).parents[3] / "recipes" / "digits.yaml"
METHODS = "sample.methods={one: {}}"
"""Those of the recipe name its own routers."""


def test_a_router_in_closed_form_is_checked_and_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("made before the run")

    monkeypatch.setattr(MomentsFamily, "tensors", fail)
    preflight(load_recipe(RECIPE, ["routers={m: moments}", METHODS]))


def test_its_problem_is_one_line() -> None:
    with pytest.raises(RecipeError) as caught:
        preflight(load_recipe(RECIPE, ["routers={m: {use: moments, rank: 64}}", METHODS]))
    assert str(caught.value) == (
        "routers.m  router moments: rank 64 is not below the 178 items of shard 0 and their 64 numbers; "
        "give a smaller rank"
    )


def test_a_shard_too_small_to_hold_items_out_is_found_before_the_run(tmp_path: Path) -> None:
    path = tmp_path / "items.npz"
    np.savez(path, items=np.zeros((5, 1, 8, 8), np.uint8), labels=np.array([0, 0, 1, 1, 2]))
    data = f"data={{use: numpy, path: {path}, labels: labels}}"
    with pytest.raises(RecipeError) as caught:
        preflight(load_recipe(RECIPE, [data, "train.held_out=0.1", "monolith=null", "routers={m: moments}", METHODS]))
    assert caught.value.problems[0] == (
        "expert-2: held_out of 0.1 leaves none of 1 items to train on; leave held_out at 0, or take more items"
    )


def test_a_router_that_would_have_no_item_to_learn_from_is_found_before_the_run() -> None:
    held = "train: {held_out: 0.9999}"
    drawn = "train_on: experts, drawn: {count: 20}"
    router = f"routers={{a: {{use: a-network, {held}}}, b: {{use: da-network, {drawn}, {held}}}}}"
    with pytest.raises(RecipeError) as caught:
        preflight(load_recipe(RECIPE, [router, METHODS]))
    assert caught.value.problems == (
        "routers.a  a: held_out of 0.9999 leaves none of 1797 items to train on; make it smaller",
        "routers.b  interval-0: held_out of 0.9999 leaves none of 20 items to train on; make it smaller",
    )


@pytest.mark.parametrize("expert", ["expert.shared=false", "expert.shared=true"])
def test_a_condition_that_no_network_of_the_recipe_reads_is_found_before_the_run(tmp_path: Path, expert: str) -> None:
    np.save(tmp_path / "texts.npy", np.zeros((1797, 7, 3), np.float32))
    condition = f"condition={{text: {tmp_path}/texts.npy}}"
    with pytest.raises(RecipeError) as caught:
        preflight(load_recipe(RECIPE, [condition, expert, "routers={p: fixed}", METHODS]))
    [line] = caught.value.problems
    assert line == "expert unet: condition text has values of shape (7, 3); it reads classes and vectors (D,)"
