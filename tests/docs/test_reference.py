"""Everything that can be named has its place on the page that is made for it."""

from __future__ import annotations

import inspect
import re

import attrs
import pytest
from command import Command
from pages import DOCS, pages, prose_of, whole

from mixvel_core import errors
from mixvel_core.cli import main
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.plugin.options import option_key
from mixvel_core.recipe import model
from reference_pages.commands import verbs
from reference_pages.exit_codes import exit_codes
from reference_pages.insert import GENERATED, names_in, outdated, up_to_date, written
from reference_pages.markdown import plain
from reference_pages.plugins import plugins
from reference_pages.recipe_keys import recipe_keys


def test_each_generated_part_stands_on_one_page() -> None:
    names = [name for page in pages() for name in names_in(page.read_text())]
    assert sorted(names) == sorted(GENERATED)


def test_what_is_generated_is_written_in_the_pages() -> None:
    assert [str(page) for page, _ in outdated()] == [], "the code has changed since; run `nox -s reference`"


def test_a_generated_part_is_replaced_as_a_whole_and_nothing_else() -> None:
    text = (
        "before\n<!-- generated: exit-codes -->\nold\nold\n<!-- end: exit-codes -->\nafter <!-- generated: hooks -->\n"
    )
    new = up_to_date(text)
    assert new == text.replace("old\nold\n", f"\n{exit_codes()}\n\n")
    assert up_to_date(new) == new
    assert written(text) == "before\n\n\n\n\nafter <!-- generated: hooks -->\n"
    with pytest.raises(KeyError):
        up_to_date("<!-- generated: nothing -->\n<!-- end: nothing -->")


SECTIONS = [cls for cls in vars(model).values() if inspect.isclass(cls) and cls.__module__ == model.__name__]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_of_a_recipe_has_its_place_and_says_what_it_means(section: type) -> None:
    text = recipe_keys()
    rows = re.findall(r"^\| `(?:\S+\.)?(\w+)` \|.*\| (.*) \|$", text, re.MULTILINE)
    for field in attrs.fields(section):
        doc = plain(field.metadata["doc"])
        # A section that is always there has a heading instead of a row.
        headed = re.search(rf"^### `(?:\S+\.)?{option_key(field)}`$", text, re.MULTILINE)
        assert (option_key(field), doc) in rows or headed, field.alias


def test_every_plugin_has_its_heading_summary_and_options() -> None:
    page = plugins()
    entries = [entry for entry in load_registry().entries() if entry.distribution == "mixvel"]
    assert len(entries) > 40
    for entry in entries:
        part = page.partition(f"### {entry.kind} `{entry.name}`\n")[2].partition("\n## ")[0]
        part = part.partition("\n### ")[0]
        assert plain(entry.definition.summary) in part
        for field in attrs.fields(entry.definition.options):
            assert not field.init or re.search(rf"^\| `{field.alias}[.`]", part, re.MULTILINE), (entry, field.alias)


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
    page = prose_of(DOCS / "errors.md")
    said = re.findall(r"\d+", (main.main.__doc__ or "").partition("Exit codes:")[2])
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == said
    classes = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, errors.MixvelError)]
    assert {str(c.exit_code) for c in classes} < set(said)
    for made in classes[1:]:
        assert f"| {made.exit_code} | `{made.__name__}` |" in exit_codes()
