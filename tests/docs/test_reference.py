"""Everything that can be named has its place on the page that is made for it."""

from __future__ import annotations

import ast
import inspect
import re

import attrs
import pytest
from command import Command
from pages import DOCS, pages, whole

from mixvel_core import errors, protocols
from mixvel_core.cli import main
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.plugin.kinds import KINDS
from mixvel_core.recipe import model
from reference_pages.commands import verbs
from reference_pages.exit_codes import exit_codes
from reference_pages.insert import GENERATED, expanded
from reference_pages.markdown import plain
from reference_pages.plugins import plugins
from reference_pages.recipe_keys import recipe_keys


def test_each_generated_part_stands_on_one_page() -> None:
    text = "\n".join(page.read_text() for page in pages())
    for name in GENERATED:
        assert text.count(f"<!-- generated: {name} -->") == 1, name
    assert "<!-- generated" not in "".join(map(whole, pages()))


def test_a_part_that_nobody_makes_is_an_error() -> None:
    with pytest.raises(KeyError):
        expanded("<!-- generated: recipe-kees -->\n")


SECTIONS = [cls for cls in vars(model).values() if inspect.isclass(cls) and cls.__module__ == model.__name__]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_of_a_recipe_has_its_place_and_says_what_it_means(section: type) -> None:
    text = recipe_keys()
    rows = re.findall(r"^\| `(?:\S+\.)?(\w+)` \|.*\| (.*) \|$", text, re.MULTILINE)
    for field in attrs.fields(section):
        doc = plain(field.metadata["doc"])
        # A section that is always there has a heading instead of a row.
        headed = re.search(rf"^### `(?:\S+\.)?{field.alias}`$", text, re.MULTILINE)
        assert (field.alias, doc) in rows or headed, field.alias


def test_the_sections_of_a_recipe_stand_under_its_own_keys() -> None:
    page = whole(DOCS / "recipes.md")
    for path in ("name", "sample.count", "sample.methods.NAME.weights.floor", "study.range", "theory.radius"):
        assert page.count(f"| `{path}` |") == 1


def test_every_plugin_has_its_heading_summary_and_options() -> None:
    page = plugins()
    entries = [entry for entry in load_registry().entries() if entry.distribution == "mixvel"]
    assert len(entries) > 40
    for entry in entries:
        part = page.partition(f"({entry.kind}-{entry.name})=\n\n### `{entry.name}`\n")[2].partition("\n## ")[0]
        part = part.partition("\n### ")[0]
        assert plain(entry.definition.summary) in part
        for field in attrs.fields(entry.definition.options):
            assert not field.init or re.search(rf"^\| `{field.alias}[.`]", part, re.MULTILINE), (entry, field.alias)


def test_every_hook_has_its_row() -> None:
    page = whole(DOCS / "protocols.md")
    for kind in KINDS:
        assert f"| `{kind.hook}` | [{kind.title}](" in page


@pytest.mark.parametrize("name", protocols.__all__)
def test_every_protocol_has_its_heading_docstring_and_members(name: str) -> None:
    part = whole(DOCS / "protocols.md").partition(f"\n### {name}\n")[2].partition("\n### ")[0]
    made = getattr(protocols, name)
    assert made.__doc__.splitlines()[0] in part
    for member, value in vars(made).items():
        if not member.startswith("_") and inspect.isfunction(value):
            assert f"def {member}(" in part
            assert (value.__doc__ or "").partition("\n")[0] in part


def test_every_verb_has_its_heading_and_its_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mixvel = Command(monkeypatch=monkeypatch, capsys=capsys)
    page = whole(DOCS / "commands.md")
    named = [verb.command_path.split()[1:] for verb in verbs()]
    listed = mixvel("--help").out.partition("Commands:\n")[2]
    assert [words[0] for words in named if len(words) == 1] == re.findall(r"^  (\w+)", listed, re.MULTILINE)
    assert ["plugins", "new"] in named
    for words in named:
        part = page.partition(f"\n## mixvel {' '.join(words)}\n")[2].partition("\n## ")[0]
        for option in re.findall(r"^  (--[\w-]+)", mixvel(*words, "--help").out, re.MULTILINE):
            assert f"`{option}" in part, (words, option)


def test_every_exit_code_and_every_error_has_its_row() -> None:
    page = (DOCS / "errors.md").read_text()
    said = re.findall(r"\d+", (main.main.__doc__ or "").partition("Exit codes:")[2])
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == said
    classes = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, errors.MixvelError)]
    assert {str(c.exit_code) for c in classes} < set(said)
    for made in classes[1:]:
        assert f"| {made.exit_code} | `{made.__name__}` |" in exit_codes()


def test_what_is_generated_is_written_nowhere_by_hand() -> None:
    keys = {path for path in re.findall(r"^\| `([\w.]+)` \|", recipe_keys(), re.MULTILINE) if "." in path}
    for page in pages():
        assert not keys & set(re.findall(r"^\| `([\w.]+)` \|", page.read_text(), re.MULTILINE)), page
    for path in (DOCS / "reference_pages").glob("*.py"):
        words = {n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)}
        assert not keys & words, path
