"""What guidance and conditions need of the rest of a recipe: a line each, at the place where they stand."""

from __future__ import annotations

import pytest
from whole_runs import EXACT, LABELLED, recipe_of

from mixvel_core.errors import RecipeError
from mixvel_core.plugin.discovery import load_registry


@pytest.mark.parametrize(
    ("text", "override", "line"),
    [
        (EXACT, "sample.guidance=cfg", "sample.guidance  cfg leads to a condition, and the recipe has none"),
        (EXACT, "sample.methods.mixed={guidance: cfg}", "sample.methods.mixed.guidance  cfg leads to a condition"),
        (EXACT, "sample.condition=[1]", "sample.condition  the recipe has no `condition`"),
        (LABELLED, "sample.condition=[]", "sample.condition  must be a list, not empty"),
        (LABELLED, "monolith=null", "sample.methods.away.guidance  autoguidance compares with the monolith"),
        (
            LABELLED,
            "sample.methods.alone.guidance=autoguidance",
            "sample.methods.alone.guidance  has no effect: the monolith is what this guidance compares with",
        ),
        (LABELLED, "sample.guidance={use: cfg, scale: .nan}", "sample.guidance.scale  must be a finite number"),
        (LABELLED, "sample.guidance={use: cfg, scale: -1}", "sample.guidance.scale  must be at least 0"),
    ],
)
def test_what_does_not_fit_gets_a_line(text: str, override: str, line: str) -> None:
    with pytest.raises(RecipeError) as found:
        recipe_of(text, override)
    assert any(line in problem for problem in found.value.problems), found.value.problems


def test_guidance_and_no_condition_contradict_each_other() -> None:
    with pytest.raises(RecipeError, match=r"sample\.guidance  cfg leads to a condition, and `sample\.cond"):
        recipe_of(LABELLED, "sample.condition=null", "sample.guidance=cfg")
    # Rows of the table are looked at where they are to be sampled.
    recipe_of(LABELLED, "sample.condition=null")


def test_guidance_by_none_leads_to_no_condition() -> None:
    recipe_of(EXACT, "sample.guidance=none", "sample.methods.mixed={guidance: none}")
    recipe_of(LABELLED, "sample.condition=null", "sample.guidance=none")


def test_a_null_that_nothing_is_learned_of_is_not_compared_with() -> None:
    untaught = ("expert={use: unet, channels: [8]}", "train={condition_dropout: 0}")
    line = r"sample\.guidance  cfg compares with the estimate without a condition, and nothing is learned"
    with pytest.raises(RecipeError, match=line):
        recipe_of(LABELLED, *untaught, "sample.guidance=cfg")
    recipe_of(LABELLED, *untaught, "sample.guidance=autoguidance", "sample.methods={away: {}}")
    recipe_of(LABELLED, *untaught, "train.condition_dropout=0.1", "sample.guidance=cfg")


def test_definitions_of_guidances_state_what_they_compare_with() -> None:
    for entry in load_registry().entries("guidance"):
        use = entry.definition
        guidance = use.example()
        assert (guidance.reference == "weaker") == use.by_weaker, use.name
        assert any(guidance.at(t) != 1 for t in (0.1, 0.5, 0.9)) == use.leads, use.name
