"""Keys of artifacts: what is added to mixvel later leaves runs of today as they are, and what changes is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import attrs
from attrs import NOTHING, frozen
from fake_plugins import definition

from mixvel_core.plugin.definition import SelectorUse, Use
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.plugin.options import BEFORE, MATTERS, option, option_key
from mixvel_core.recipe.describe import field_types
from mixvel_core.recipe.dump import keyed, plain
from mixvel_core.recipe.model import Recipe

LISTED = Path(__file__).with_name("options_of_format_2.txt")
"""Every option that is part of the keys whatever its value, because run folders of format 2 were made with it."""


@frozen(kw_only=True)
class Old:
    k: int = option(default=2, doc="as it was released")


@frozen(kw_only=True)
class New(Old):
    soft: float = option(default=1.0, before=1.0, doc="added later")


@frozen(kw_only=True)
class Changed(Old):
    soft: float = option(default=3.0, before=1.0, doc="added later, and then given another default")


def key(options: object) -> object:
    return keyed({"selector": SelectorUse(definition=definition("selector", "top", type(options)), options=options)})


def test_an_option_that_is_added_leaves_the_keys_of_what_was_made_before() -> None:
    assert key(New()) == key(Old())
    assert key(New(soft=2.0)) != key(Old())
    assert plain(New()) == {"k": 2, "soft": 1.0}


def test_a_default_that_changes_changes_the_key() -> None:
    assert key(Changed()) == key(New(soft=3.0)) != key(New())
    assert key(Changed(soft=1.0)) == key(New())


def option_names() -> Iterator[tuple[str, bool]]:
    """Each option of mixvel's recipes and plugins, and whether it was added after format 2."""
    owners: dict[str, type] = {"recipe": Recipe}
    for entry in load_registry().entries():
        if entry.distribution == "mixvel":
            owners[f"{entry.definition.kind} {entry.definition.name}"] = entry.definition.options
    for owner, cls in owners.items():
        yield from _options_of(owner, cls)


def _options_of(place: str, cls: type) -> Iterator[tuple[str, bool]]:
    types = field_types(cls)
    for field in attrs.fields(cls):
        name = f"{place}.{option_key(field)}"
        yield name, field.metadata.get(BEFORE, NOTHING) is not NOTHING or not field.metadata.get(MATTERS, True)
        for inner in (types[field.name], *get_args(types[field.name])):
            if attrs.has(inner) and not issubclass(inner, Use):
                yield from _options_of(name, inner)


def test_every_new_option_says_what_was_done_before_it() -> None:
    """A new option fails here: give it ``before=``, the value that does what was done without it, and what users have
    trained stays theirs. Only where no value does that is it added to the list, and FORMAT counted up."""
    listed = set(LISTED.read_text().splitlines())
    assert [name for name, is_later in option_names() if not is_later and name not in listed] == []
