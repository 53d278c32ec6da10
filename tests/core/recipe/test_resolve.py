from __future__ import annotations

import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_plugins import RECIPE, CountOptions, LinearOptions, definition, fake_registry, module, source
from hypothesis import given, settings
from hypothesis import strategies as st

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


def answer(text: str, *overrides: str) -> tuple[str, ...]:
    """The problems of a recipe, or nothing where it is right; an error without problems would be a bug."""
    try:
        check(text, *overrides)
    except RecipeError as error:
        return error.problems or ("\n",)
    return ()


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
    assert problems(text) == [
        "r.yaml:1  launcher  is missing; it says where training runs",
        "r.yaml:3  seed  must be an integer, not 7.5",
        "r.yaml:8  schedule.beta_mx  unknown option; did you mean beta_max?  (vp-linear accepts beta_max, beta_min)",
        "r.yaml:18  routers.prior  no router is called 'fixd'; did you mean fixed?  (installed for router: fixed, net)",
        "r.yaml:20  sample.steps.2  5 appears twice; remove one",
        "r.yaml:21  sample.delta  must be 0, or at least 1e-12 and below 1, not 1.0",
        "r.yaml:27  sample.methods.top2.router  no router is called 'learnd'; did you mean learned?"
        "  (routers: learned, prior)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("name: small", "name: ../up", "r.yaml:2  name  cannot be the name of a folder"),
        ("name: small", "name: ''", "r.yaml:2  name  cannot be the name of a folder"),
        ("mixture: {}", "a/b: {}", "r.yaml:25  sample.methods.a/b  cannot be the name of a folder"),
        ("  prior: fixed", "  '..': fixed", "r.yaml:18  routers...  cannot be the name of a folder"),
        ("mixture: {}", "mixture:", "r.yaml:25  sample.methods.mixture  must be a section"),
        ("monolith: {use: net, prediction: eps}", "monolith: null", "r.yaml:24  sample.methods.unrouted.model  the"),
        ("{model: monolith}", "{model: monolith, router: prior}", "r.yaml:24  sample.methods.unrouted.router  has no"),
        ("partition: {use: labels}", "partition: [labels]", "r.yaml:5  partition  must be `use: NAME`"),
        ("metrics: [w2]", "metrics: w2", "r.yaml:28  evaluate.metrics  must be a list"),
        ("metrics: [w2]", "metrics: [w2, {use: w2, n: 1}]", "r.yaml:28  evaluate.metrics.1.n  unknown option"),
        ("learning_rate: 2e-4", "learning_rate: .inf", "r.yaml:14  expert.train.learning_rate  must be a finite"),
        ("learning_rate: 2e-4", "learning_rate: 1e999", "r.yaml:14  expert.train.learning_rate  must be a finite"),
        ("seed: 7", "seed: 99999999999999999999", "r.yaml:3  seed  must be an integer of at most 64 bits"),
        ("seed: 7", "seed: -1", "r.yaml:3  seed  must be at least 0, not -1"),
        ("seed: 7", "seed: 7\nsed: 1", "r.yaml:4  sed  unknown option; did you mean seed?  (a recipe accepts data,"),
        ("seed: 7", 'seed: 7\n"\\u202e\\n": 1', "r.yaml:4  \\u202e\\n  unknown option"),
        ("    steps: 500", "    steps: 500\n    steps: 600", "r.yaml:14  expert.train.steps  appears twice (first in"),
    ],
)
def test_one_wrong_thing_gets_one_line(old: str, new: str, problem: str) -> None:
    assert old in RECIPE
    (line,) = problems(RECIPE.replace(old, new, 1))
    assert line.startswith(problem)
    assert line.isprintable()


def test_empty_sections_of_methods_and_routers() -> None:
    start, rest = RECIPE.split("routers:")
    text = start + "routers: {}\nsample:" + rest.split("sample:", 1)[1].replace("router: learned, ", "")
    assert [line.split("  ")[1:] for line in problems(text)] == [
        ["sample.methods.mixture", "samples from the experts, but `routers` is empty"],
        ["sample.methods.top2", "samples from the experts, but `routers` is empty"],
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "null", "---\n"])
def test_an_empty_recipe_says_so(text: str) -> None:
    assert problems(text) == ["r.yaml:1  holds nothing; a recipe starts with `name:`"]


@pytest.mark.parametrize("text", ["3", "[a, b]", "just words"])
def test_a_recipe_that_is_no_mapping(text: str) -> None:
    (line,) = problems(text)
    assert line.startswith("r.yaml:1  must be a section")


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


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("seed", "seed (command line)  is no override; write key.path=value, for example seed=1"),
        ("=3", "=3 (command line)  is no override; write key.path=value, for example seed=1"),
        ("a..b=3", "a..b=3 (command line)  is no override; write key.path=value, for example seed=1"),
        ("seed=x", "seed=x (command line)  seed  must be an integer, not the text 'x'"),
        ("seed=", "seed= (command line)  seed  must be an integer, not null"),
        ("seed=[1", "seed=[1 (command line)  not YAML: "),
        ("seed=1\0", "seed=1\\x00 (command line)  not YAML: it holds characters that are not text"),
        ("name=\udcff", "name=\\udcff (command line)  not YAML: it holds characters that are not text"),
        ("seed.x=1", "seed.x=1 (command line)  seed.x  `seed` is 7 and has no options"),
        ("name.x=1", "name.x=1 (command line)  name  must be text, not a mapping"),
        ("sample.steps.7=1", "sample.steps.7=1 (command line)  sample.steps.7  '7' is no entry of it: `sample.steps`"),
        ("sample.steps.x=1", "sample.steps.x=1 (command line)  sample.steps.x  'x' is no entry of it"),
        ("repot.images=1", "repot.images=1 (command line)  repot  unknown option; did you mean report?"),
        ("schedule.use=vp", "schedule.use=vp (command line)  schedule.use  no schedule is called 'vp'"),
        ("expert={use: net, a: 1}", "expert={use: net, a: 1} (command line)  expert.a  unknown option"),
        ("report={images: 1, images: 2}", "report={images: 1, images: 2} (command line)  report.images  appears twice"),
    ],
)
def test_a_wrong_override_is_located_on_the_command_line(override: str, problem: str) -> None:
    (line,) = problems(RECIPE, override)
    assert line.startswith(problem)
    assert line.isprintable()


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
    assert (
        line == "r.yaml:18  routers.prior  router fixed is claimed by first 1.0 and second 1.0; uninstall all but one"
    )


def test_thousands_of_problems_do_not_bury_the_reader() -> None:
    found = problems(RECIPE.replace("[5, 10]", "[" + "x, " * 3000 + "]"))
    assert len(found) == 101
    assert found[-1] == "2900 more problems are not shown"


_junk: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        10**30,
        1.5,
        float("inf"),
        float("nan"),
        "",
        "use",
        "x" * 500,
        "é\u202e",
        [],
        {},
        [[]],
        {"use": {}},
    ]
)


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, item in items for p in _paths(item, (*path, key)))]


_TREE = yaml.safe_load(RECIPE)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_mutated_recipe_is_read_or_answered_in_lines(data: st.DataObject) -> None:
    tree = yaml.safe_load(RECIPE)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(_paths(tree)[1:]))
        holder = tree
        for key in path[:-1]:
            holder = holder[key]
        change = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if change == "replace":
            holder[path[-1]] = deepcopy(data.draw(_junk))
        elif change == "remove":
            del holder[path[-1]]
        elif isinstance(holder, dict):
            holder[data.draw(st.text(max_size=8))] = deepcopy(data.draw(_junk))
        if not tree:
            break
    text = yaml.safe_dump(tree, allow_unicode=True)
    for line in answer(text):
        assert line.startswith("r.yaml:")
        assert line.isprintable()
        assert len(line) < 1000


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.text(max_size=12)
        | st.builds(
            "{}={}".format,
            st.sampled_from(["seed", "sample.steps.0", "schedule.use", "data.x", "expert.train"]),
            st.text(max_size=8),
        ),
        max_size=3,
    )
)
def test_any_override_is_taken_or_answered_in_lines(overrides: list[str]) -> None:
    assert all(line.isprintable() for line in answer(RECIPE, *overrides))


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
