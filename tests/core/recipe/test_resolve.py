from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command import imported
from fake_plugins import RECIPE, Built, CountOptions, LinearOptions, fake_registry

from mixvel_core.errors import PluginError, RecipeError
from mixvel_core.plugin.discovery import Registry
from mixvel_core.recipe.build import build
from mixvel_core.recipe.dump import dump, to_plain
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import load_recipe, resolve
from mixvel_core.recipe.text import parse

if TYPE_CHECKING:
    from typing import assert_type

    from mixvel_core.protocols import Metric, NoiseSchedule

    # What mypy makes of the overloads is part of the contract; it fails here if one is lost.
    assert_type(build("schedule", "vp-cosine"), NoiseSchedule)
    assert_type(build("metric", "w2", {"count": 3}), Metric)

REGISTRY = fake_registry()


def check(text: str, *overrides: str, registry: Registry = REGISTRY) -> Recipe:
    return resolve(parse(text, "r.yaml"), overrides, registry)


def problems(text: str, *overrides: str, registry: Registry = REGISTRY) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        check(text, *overrides, registry=registry)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


def test_a_right_recipe_is_read_with_its_defaults() -> None:
    recipe = check(RECIPE)
    assert (recipe.name, recipe.seed, recipe.sample.grid, recipe.report.images) == ("small", 7, "uniform", 64)
    assert recipe.schedule.options == LinearOptions(beta_max=15.0)
    assert (recipe.expert.options.train.steps, recipe.expert.options.train.learning_rate) == (500, 2e-4)
    assert recipe.sample.methods["top2"].selector is not None
    assert recipe.sample.methods["top2"].selector.options == CountOptions(count=2)


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    text = (
        RECIPE.replace("seed: 7", "seed: 7.5")
        .replace("beta_max: 15", "beta_mx: 15")
        .replace("  prior: fixed", "  prior: fixd")
        .replace("steps: [5, 10]", "steps: [5, 10, 5]\n  delta: 1")
        .replace("router: learned", "router: learnd")
        .replace("launcher: local\n", "")
    )
    assert [line.split("  ")[:2] for line in problems(text)] == [
        ["r.yaml:1", "launcher"],
        ["r.yaml:3", "seed"],
        ["r.yaml:8", "schedule.beta_mx"],
        ["r.yaml:18", "routers.prior"],
        ["r.yaml:20", "sample.steps.2"],
        ["r.yaml:21", "sample.delta"],
        ["r.yaml:27", "sample.methods.top2.router"],
    ]


def test_empty_sections_of_methods_and_routers() -> None:
    start, rest = RECIPE.split("routers:")
    text = start + "routers: {}\nsample:" + rest.split("sample:", 1)[1].replace("router: learned, ", "")
    assert [line.split("  ")[1] for line in problems(text)] == ["sample.methods.mixture", "sample.methods.top2"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "latin.yaml", Path("a\0b")):
        with pytest.raises(RecipeError) as caught:
            load_recipe(path, [], REGISTRY)
        assert len(caught.value.problems) == 1


def test_overrides_set_values_as_if_they_stood_in_the_file() -> None:
    recipe = check(
        RECIPE,
        "seed=9",
        "expert.train.steps=800",
        "sample.steps=[1, 2]",
        "sample.steps.1=3",
        "data.use=digits",
        "report.images=8",
        "schedule=vp-cosine",
        "routers.third.use=fixed",
        "sample.methods.mixture.router=third",
        "evaluate.metrics.0.use=w2",
    )
    assert recipe.seed == 9
    assert recipe.expert.options.train.steps == 800
    assert recipe.sample.steps == (1, 3)
    assert recipe.report.images == 8
    assert recipe.schedule.name == "vp-cosine"
    assert recipe.sample.methods["mixture"].router == "third"
    assert list(recipe.routers) == ["learned", "prior", "third"]


def test_an_override_gives_options_to_a_plugin_named_alone() -> None:
    text = RECIPE.replace("schedule:\n  use: vp-linear\n  beta_max: 15", "schedule: vp-linear")
    assert check(text, "schedule.beta_max=30").schedule.options == LinearOptions(beta_max=30.0)


def test_problems_of_overrides_follow_those_of_the_file() -> None:
    text = RECIPE.replace("seed: 7", "seed: x")
    found = problems(text, "sample.count=0", "nonsense", "schedule.beta_max=-1")
    assert [line.split("  ")[0] for line in found] == [
        "r.yaml:3",
        "sample.count=0 (command line)",
        "nonsense (command line)",
        "schedule.beta_max=-1 (command line)",
    ]


def test_an_override_takes_away_the_problems_of_what_it_replaces() -> None:
    assert check(RECIPE.replace("seed: 7", "seed: x"), "seed=1").seed == 1


def test_plugins_that_cannot_be_had_have_their_own_exit_code() -> None:
    with pytest.raises(PluginError) as caught:
        check(RECIPE.replace("prior: fixed", "prior: other"))
    assert isinstance(caught.value, RecipeError)
    assert caught.value.exit_code == 3
    with pytest.raises(RecipeError) as mixed:
        check(RECIPE.replace("prior: fixed", "prior: other").replace("seed: 7", "seed: x"))
    assert mixed.value.exit_code == 2


def test_thousands_of_problems_do_not_bury_the_reader() -> None:
    found = problems(RECIPE.replace("[5, 10]", "[" + "x, " * 3000 + "]"))
    assert len(found) == 101
    assert found[-1] == "2900 more problems are not shown"


def test_checking_a_recipe_imports_nothing_heavy(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    code = (
        "from fake_plugins import fake_registry\n"
        "from pathlib import Path\n"
        "from mixvel_core.recipe.resolve import load_recipe\n"
        "from mixvel_core.recipe.dump import dump\n"
        "dump(load_recipe(Path(sys.argv[1]), ['seed=3'], fake_registry()))"
    )
    assert imported(("torch", "numpy", "ray", "rich", "sklearn"), code, str(path)) == []


TRAIN = "train:\n  steps: 40\n  batch: 16\n"


def test_networks_take_what_they_do_not_set_themselves() -> None:
    short = check(RECIPE + TRAIN)
    assert short == check(
        RECIPE, "expert.train.batch=16", "monolith.train={steps: 40, batch: 16}", "routers.learned.train.batch=16"
    )
    assert short.expert.options.train.steps == 500
    assert short.monolith is not None
    assert short.monolith.options.train.steps == 40


def test_the_resolved_recipe_has_every_option_in_every_network_and_reads_back() -> None:
    made = check(RECIPE + TRAIN)
    assert to_plain(made)["train"] is None
    assert to_plain(made)["routers"]["learned"]["train"]["batch"] == 16
    assert check(dump(made)) == made


def test_an_override_of_the_section_reaches_the_networks_or_is_refused() -> None:
    assert check(RECIPE, "train.batch=8").routers["learned"].options.train.batch == 8
    (line,) = problems(dump(check(RECIPE)), "train.batch=8")
    assert line.startswith("train.batch=8 (command line)  train.batch  ")


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
    assert [line.split("  ")[1] for line in caught.value.problems] == ["beta_mx", "beta_min"]
