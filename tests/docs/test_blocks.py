"""What the pages show can be done: recipes are checked, commands parsed, Python run.

Python is marked in a comment before its block: ``runs``; ``continues`` the blocks above it; ``compiles`` where it needs
a run that is not there; or
``file: PATH`` where it is a part of a project, whose test puts it together. YAML with a key of recipes is a recipe, or
a part that goes into one. Each line of ``mixvel`` in a shell block is taken as it stands, and each in running text by
its verb and its options.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from pages import ROOT, Block, blocks, pages, prose_of
from whole_runs import registry

import mixvel_core as mx
from mixvel_core.errors import AbsentError
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import load_recipe, resolve
from mixvel_core.recipe.text import parse
from reference_pages.commands import verbs

KEYS = {field.alias for field in attrs.fields(Recipe)} - {"name"}
BASE = yaml.safe_load((ROOT / "recipes/digits.yaml").read_text())

SHIPPED = sorted((ROOT / "recipes").rglob("*.y*ml"))
PYTHON = [block for block in blocks("python") if not block.where.startswith("README")]
RECIPES = [block for block in blocks("yaml") if KEYS & set(yaml.safe_load(block.text))]
LINES = [
    (block.where, line)
    for block in blocks("sh", "bash", "text")
    for line in re.findall(r"^(?:.*(?:&& |\$ |\"))?(mixvel .*)$", block.text, re.MULTILINE)
    if block.language != "text" or f"$ {line}" in block.text
]
SPANS = [
    (str(page.relative_to(ROOT)), span)
    for page in pages()
    for span in re.findall(r"`[^`\n]*?(mixvel [a-z-][^`\n]*)`", prose_of(page))
]


def where(case: Any) -> str:
    return case.where if isinstance(case, Block) else str(case)


def test_there_is_something_to_check() -> None:
    assert len(SHIPPED) >= 8
    assert len(PYTHON) >= 3
    assert len(RECIPES) >= 5
    assert len(LINES) >= 15
    assert len(SPANS) >= 30


@pytest.mark.parametrize("block", PYTHON, ids=where)
def test_python_runs_or_is_a_file_of_a_project_that_does(block: Block) -> None:
    code = compile(block.text, block.where, "exec")
    if not block.mark.startswith(("file: ", "compiles", "continues")):
        assert block.mark == "runs", f"{block.where}: what is this block?"
        exec(code, {"__name__": "page"})


def test_the_page_on_python_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    parts = [block for block in PYTHON if block.mark == "continues"]
    assert {block.where.partition(":")[0] for block in parts} == {"docs/python.md"}
    names: dict[str, Any] = {"__name__": "page"}
    for block in parts:
        exec(compile(block.text, block.where, "exec", dont_inherit=True), names)
    two, back, ends = names["two"], names["back"], names["ends"]
    right = two.x[two.x[:, 0] > 0]
    assert 0.4 < len(right) / len(two.x) < 0.6
    assert float(right.mean()) == pytest.approx(2.0, abs=0.05)
    assert float(right.std()) == pytest.approx(0.3, abs=0.03)
    assert float((back - ends).norm(dim=1).max()) < 0.05
    assert (tmp_path / "runs/page/plots.png").stat().st_size > 1000
    assert "switching 10.0 evaluations" in capsys.readouterr().out


def test_the_example_of_the_readme_runs_on_public_names_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [example] = [block for block in blocks("python") if block.where.startswith("README")]
    assert re.findall(r"^(?:import|from) .*$", example.text, re.MULTILINE) == ["import mixvel_core as mx"]
    assert set(re.findall(r"\bmx\.(\w+)", (ROOT / "README.md").read_text())) <= set(mx.__all__)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(example.text, example.where, "exec"), names)
    assert (names["samples"].evaluations == 10).all(), "one expert a step"
    assert capsys.readouterr().out == "torch.Size([64, 16]) tensor(10.)\n"


def merged(base: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with what ``part`` says; sections are merged, slots and lists replaced."""
    made = dict(base)
    for key, value in part.items():
        into = base.get(key)
        sections = isinstance(value, dict) and isinstance(into, dict) and "use" not in value
        made[key] = merged(into or {}, value) if sections else value
    return made


@pytest.mark.parametrize("block", RECIPES, ids=where)
def test_a_recipe_is_right_and_a_part_goes_into_one(block: Block) -> None:
    shown = yaml.safe_load(block.text)
    text = block.text if "name" in shown else yaml.safe_dump(merged(BASE, shown))
    for smoke in (False, True) if "smoke" in shown else (False,):
        # All else is right by then: experts may lie in a folder that the lines before a recipe make.
        with suppress(AbsentError):
            resolve(parse(text, block.where), [], registry(), smoke=smoke)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_recipe_that_comes_with_mixvel_is_right_at_both_sizes(path: Path) -> None:
    assert load_recipe(path, [], registry()).name
    small = load_recipe(path, [], registry(), smoke=True)
    assert small.smoke
    assert small.name.endswith("-smoke")


VERBS = {tuple(verb.command_path.split()[1:]): verb.command for verb in verbs()}


def verb_of(words: list[str]) -> tuple[str, ...]:
    return max((path for path in VERBS if tuple(words[: len(path)]) == path), key=len, default=())


@pytest.mark.parametrize(("place", "line"), LINES)
def test_a_line_of_the_shell_is_a_command_that_there_is(place: str, line: str) -> None:
    words = shlex.split(line.rstrip('"'), comments=True)[1:]
    path = verb_of(words)
    assert path, f"{place}: {line}"
    # Parsing ends with an error where an option or an argument is not the command's.
    context = VERBS[path].make_context(" ".join(path), words[len(path) :])
    recipe = context.params.get("recipe")
    if recipe is not None and (ROOT / recipe).is_relative_to(ROOT / "recipes"):
        overrides = context.params.get("overrides") or []
        own = [o for o in overrides if "diagonal" not in o]  # the plugin that the page writes
        load_recipe(ROOT / recipe, own, registry(), smoke=context.params.get("smoke") or False)


def options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        yield from parameter.opts


@pytest.mark.parametrize(("place", "span"), SPANS)
def test_a_command_in_running_text_is_one(place: str, span: str) -> None:
    words = span.split()[1:]
    if words[0] in ("--debug", "--version"):
        return
    path = verb_of(words)
    assert path, f"{place}: {span}"
    known = {*options(VERBS[path]), "--help"}
    for word in words[len(path) :]:
        if word.startswith("--"):
            assert word in known, f"{place}: {span}"
        elif word.startswith("recipes/"):
            assert Path(ROOT / word).exists(), f"{place}: {span}"
