from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fake_plugins import RECIPE, CountOptions, LinearOptions, definition, fake_registry, module, source

from mixvel_core.errors import PluginError, RecipeError
from mixvel_core.plugin.discovery import Registry, make_registry
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import load_recipe, resolve
from mixvel_core.recipe.text import parse

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
    assert recipe.name == "small"
    assert recipe.seed == 7
    assert recipe.schedule.options == LinearOptions(beta_max=15.0)
    assert recipe.expert.options.train.steps == 500
    assert recipe.expert.options.train.learning_rate == 2e-4
    assert recipe.sample.grid == "uniform"
    assert recipe.sample.methods["top2"].selector is not None
    assert recipe.sample.methods["top2"].selector.options == CountOptions(count=2)
    assert recipe.report.images == 64


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


@pytest.mark.parametrize("text", ["", "# nothing\n", "null", "---\n", "3", "[a, b]", "just words"])
def test_what_holds_no_recipe_is_one_problem_in_its_first_line(text: str) -> None:
    (line,) = problems(text)
    assert line.startswith("r.yaml:1  ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    for path, message in (
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path, "cannot be read"),
        (tmp_path / "latin.yaml", "not UTF-8"),
        (Path("a\0b"), "cannot be read"),
    ):
        with pytest.raises(RecipeError) as caught:
            load_recipe(path, [], REGISTRY)
        (line,) = caught.value.problems
        assert message in line


def test_a_file_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE, encoding="utf-8-sig")
    assert load_recipe(path, [], REGISTRY) == check(RECIPE)


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


def test_a_broken_plugin_stops_only_recipes_that_may_need_it() -> None:
    def broken() -> object:
        raise ImportError("no module named gone")

    rest = [source(lambda: module(*(e.definition for e in REGISTRY.entries()))), source(broken, "acme")]
    registry = make_registry(rest)
    assert check(RECIPE, registry=registry) == check(RECIPE)
    (line,) = problems(RECIPE.replace("prior: fixed", "prior: other"), registry=registry)
    assert "acme.hooks of acme 1.0: ImportError: no module named gone" in line


def test_a_name_claimed_twice_is_refused_where_it_is_used() -> None:
    both = [source(lambda: module(*(e.definition for e in REGISTRY.entries())), "first")]
    both.append(source(lambda: module(definition("router", "fixed")), "second"))
    (line,) = problems(RECIPE, registry=make_registry(both))
    assert line.startswith("r.yaml:18  routers.prior  ")
    assert "first 1.0 and second 1.0" in line


def test_thousands_of_problems_do_not_bury_the_reader() -> None:
    found = problems(RECIPE.replace("[5, 10]", "[" + "x, " * 3000 + "]"))
    assert len(found) == 101
    assert found[-1] == "2900 more problems are not shown"


def test_checking_a_recipe_imports_nothing_heavy(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from fake_plugins import fake_registry\n"
        "from pathlib import Path\n"
        "from mixvel_core.recipe.resolve import load_recipe\n"
        "from mixvel_core.recipe.dump import dump\n"
        "dump(load_recipe(Path(sys.argv[1]), ['seed=3'], fake_registry()))\n"
        "print(sorted({'torch', 'numpy', 'ray', 'rich', 'sklearn'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), *sys.path], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
