from __future__ import annotations

from typing import Any

from attrs import evolve, fields
from fake_plugins import RECIPE, NetOptions, fake_registry
from hypothesis import given, settings
from hypothesis import strategies as st

from mixvel_core.recipe.dump import diff, dump, to_plain
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import resolve
from mixvel_core.recipe.text import parse

REGISTRY = fake_registry()


def check(text: str, *overrides: str) -> Recipe:
    return resolve(parse(text, "r.yaml"), overrides, REGISTRY)


def test_everything_is_written_out() -> None:
    plain = to_plain(check(RECIPE))
    assert plain["data"] == {"use": "digits"}
    assert plain["schedule"] == {"use": "vp-linear", "beta_min": 0.1, "beta_max": 15.0}
    assert plain["expert"]["channels"] == [8, 16]
    assert plain["expert"]["train"]["warmup"] == 50
    assert list(plain) == [field.name for field in fields(Recipe)]


def test_loads_back_to_an_equal_recipe() -> None:
    recipe = check(
        RECIPE, "expert.folder=a b/c", "expert.groups=[[1, 2], [3]]", "monolith=null", "sample.methods.unrouted={}"
    )
    text = dump(recipe)
    assert check(text) == recipe
    assert dump(check(text)) == text


_values: dict[str, st.SearchStrategy[Any]] = {
    "note": st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
    | st.sampled_from(
        ["no", "2e-5", "0o17", "0x1f", "1_0", "~", "null", "true", "7", ".5", "a: b", "# c", "1:30", "=", "\n\t x\n"]
    ),
    "weights": st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=9),
        st.floats(allow_nan=False, allow_infinity=False),
        max_size=3,
    ),
    "channels": st.lists(st.integers(1, 2**63 - 1), min_size=1, max_size=4).map(tuple),
}


@settings(deadline=None, max_examples=150)
@given(st.fixed_dictionaries({}, optional=_values))
def test_any_options_survive_the_round_trip(values: dict[str, Any]) -> None:
    base = check(RECIPE)
    recipe = evolve(base, expert=evolve(base.expert, options=NetOptions(**values)))
    assert check(dump(recipe)) == recipe


def test_a_difference_names_what_changed_and_nothing_else() -> None:
    old = to_plain(check(RECIPE))
    new = to_plain(
        check(RECIPE, "expert.train.steps=800", "schedule=vp-cosine", "sample.steps=[5]", "monolith.clip=false")
    )
    assert diff(old, old) == []
    assert diff(old, new) == [
        "schedule.use: vp-linear -> vp-cosine",
        "schedule.beta_min: 0.1 -> (absent)",
        "schedule.beta_max: 15.0 -> (absent)",
        "expert.train.steps: 500 -> 800",
        "monolith.clip: true -> false",
        "sample.steps: [5, 10] -> [5]",
    ]


def test_a_difference_between_lists_of_plugins_is_taken_apart() -> None:
    old = {"metrics": [{"use": "w2", "count": 1}]}
    new = {"metrics": [{"use": "w2", "count": 2}, {"use": "frechet"}], "none": {}}
    assert diff(old, new) == ["metrics.0.count: 1 -> 2", "metrics.1.use: (absent) -> frechet", "none: (absent) -> {}"]
