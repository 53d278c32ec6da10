"""A recipe with a codec: what follows from it for other options, and what it has no part in."""

from __future__ import annotations

from pathlib import Path

import pytest
from whole_runs import EXACT, TRAINED, recipe_of

from mixvel_core.errors import RecipeError
from mixvel_core.pipeline.codecs import codec_of
from mixvel_core.pipeline.partition import partition_artifact
from mixvel_core.recipe.dump import dump, keyed, plain

PCA = "codec={use: pca, patch: 2}"


def test_without_a_codec_keys_are_as_before_and_a_codec_changes_them() -> None:
    keys = [partition_artifact(recipe_of(TRAINED, *line), Path()).key for line in ((), ("codec=none",), (PCA,))]
    assert keys[0] == keys[1] != keys[2]
    assert "codec" not in keyed(recipe_of(TRAINED))
    assert codec_of(recipe_of(TRAINED, "codec=none")) is None


def test_experts_do_not_keep_latents_within_the_range_of_items() -> None:
    assert plain(recipe_of(TRAINED))["expert"]["clip"] is True
    made = recipe_of(TRAINED, PCA)
    sections = plain(made)
    assert (sections["expert"]["clip"], sections["monolith"]["clip"]) == (False, False)
    assert recipe_of(dump(made)) == made
    assert plain(recipe_of(TRAINED, "codec=none"))["expert"]["clip"] is True


def test_each_expert_of_several_families_is_meant() -> None:
    one = "{use: torch-module, module: 'mixvel_foreign.examples:Shrink', prediction: x0}"
    made = recipe_of(TRAINED, PCA, f"expert={{use: per-shard, experts: [{one}, {{use: unet}}]}}")
    assert [expert["clip"] for expert in plain(made)["expert"]["experts"]] == [False, False]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("expert.clip=true", "expert.clip"),
        ("monolith.clip=true", "monolith.clip"),
        ("sample.integrator={use: ddim, clip: 1.0}", "sample.integrator.clip"),
        ("sample.methods.mixed.integrator={use: ddim, clip: 1.0}", "sample.methods.mixed.integrator.clip"),
        ("study={integrators: [pc, {use: ddim, clip: 1.0}]}", "study.integrators.1.clip"),
    ],
)
def test_a_range_that_is_asked_for_is_refused_with_its_place(line: str, place: str) -> None:
    recipe_of(TRAINED, line)
    with pytest.raises(RecipeError, match="experts see latents") as raised:
        recipe_of(TRAINED, PCA, line)
    [problem] = raised.value.problems
    assert f"  {place}  must be " in problem


def test_what_is_no_codec_is_one_problem() -> None:
    with pytest.raises(RecipeError, match="no codec is called 'pcs'; did you mean pca") as raised:
        recipe_of(EXACT, "codec=pcs")
    assert len(raised.value.problems) == 1
