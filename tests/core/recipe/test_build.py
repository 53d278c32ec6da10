from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fake_plugins import Built, LinearOptions, fake_registry

from mixvel_core.errors import RecipeError
from mixvel_core.recipe.build import build

if TYPE_CHECKING:
    from typing import assert_type

    from mixvel_core.protocols import Metric, NoiseSchedule

    # What mypy makes of the overloads is part of the contract; it fails here if one is lost.
    assert_type(build("schedule", "vp-cosine"), NoiseSchedule)
    assert_type(build("metric", "w2", {"count": 3}), Metric)


def test_builds_with_checked_options() -> None:
    made: object = build("schedule", "vp-linear", {"beta_max": 15}, fake_registry())
    assert made == Built(options=LinearOptions(beta_max=15.0))


def test_sequences_of_python_are_lists() -> None:
    made: object = build("expert", "net", {"channels": (8, 16)}, fake_registry())
    assert isinstance(made, Built)
    assert made.options.channels == (8, 16)  # type: ignore[attr-defined]  # the fake keeps whatever it is given


def test_every_wrong_option_is_named() -> None:
    with pytest.raises(RecipeError) as caught:
        build("schedule", "vp-linear", {"beta_mx": 1, "beta_min": -1.0}, fake_registry())
    assert caught.value.problems == (
        "schedule vp-linear  beta_mx  unknown option; did you mean beta_max?  (vp-linear accepts beta_max, beta_min)",
        "schedule vp-linear  beta_min  must be above 0, not -1.0",
    )
