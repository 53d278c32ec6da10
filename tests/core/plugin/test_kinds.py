"""The table of kinds: its rows name what exists, and one more row is all that one more kind needs."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import pytest
from attrs import frozen
from command import Command
from fake_plugins import CountOptions, module, source

from mixvel_core import protocols
from mixvel_core.errors import ConformanceError
from mixvel_core.plugin import kinds
from mixvel_core.plugin.definition import CONTRACT, PluginDef, Use
from mixvel_core.plugin.discovery import make_registry
from mixvel_core.plugin.kinds import KINDS, PluginKind
from mixvel_core.recipe.build import build
from mixvel_core.recipe.describe import describe_type
from mixvel_core.testing import Suite

TEMPLATE = """\
{% set option = "count" %}
{% set type = "int" %}
{% set default = "2" %}
{% set check = "at_least" %}
{% set bounds = "1" %}
{% set doc = "how many" %}
{% set summary = "a bell" %}
{% set recipe = "bell: {use: " ~ name ~ "}" %}
{% set cls = stem ~ "Bell" %}
class {{ cls }}: ...
"""


class Bell(Protocol):
    """Rings a number of times."""

    def ring(self) -> int: ...


@frozen(kw_only=True)
class Church:
    """Rings ``count`` times."""

    count: int

    def ring(self) -> int:
        return self.count


def rings(component: Bell) -> None:
    """It rings at least once."""
    if component.ring() < 1:
        raise ConformanceError("it is silent", "let it ring")


CHECKS = (rings,)


@pytest.fixture
def mixvel(mixvel: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Command]:
    """The command, with a tenth row in the table and one plugin of that kind."""
    here = tmp_path / "bells"
    here.mkdir()
    (here / "__init__.py").write_text("")
    (here / "bell.py.jinja").write_text(TEMPLATE)
    monkeypatch.syspath_prepend(tmp_path)
    row = PluginKind(
        name="bell",
        hook="mixvel_bells",
        title="Bells",
        protocol=f"{__name__}:Bell",
        checks=f"{__name__}:CHECKS",
        template="bells:bell.py.jinja",
    )
    monkeypatch.setattr(kinds, "KINDS", (*KINDS, row))
    church: PluginDef[Any, Bell] = PluginDef(
        kind="bell",
        name="church",
        options=CountOptions,
        target=f"{__name__}:Church",
        example_options=CountOptions(count=2),
        summary="a large bell",
        contract=CONTRACT,
    )
    registry = make_registry([source(lambda: module(church), "bells")])
    monkeypatch.setattr("mixvel_core.plugin.discovery.load_registry", lambda: registry)
    monkeypatch.setattr("mixvel_core.recipe.build.load_registry", lambda: registry)
    yield mixvel
    sys.modules.pop("bells", None)


def test_a_tenth_kind_is_listed_shown_and_checked(mixvel: Command) -> None:
    assert mixvel("plugins").out.splitlines()[1].split() == ["bell", "church", "a", "large", "bell", "bells", "1.0"]
    assert "count" in mixvel("plugins", "show", "church", "--kind", "bell").out
    checked = mixvel("plugins", "check", "church")
    assert (checked.code, checked.err) == (0, "")
    assert "  ok    rings " in checked.out


def test_a_tenth_kind_is_built_and_has_slots_in_recipes(mixvel: Command) -> None:
    assert build("bell", "church", {"count": 3}).ring() == 3

    class BellUse(Use[Bell]):
        """A slot for a bell."""

    assert BellUse.kind == "bell"
    assert describe_type(BellUse).startswith("a bell (")


def test_a_tenth_kind_has_a_suite_and_a_template(mixvel: Command, tmp_path: Path) -> None:
    suite: Any = type("TestChurch", (Suite,), {"kind": "bell"})
    with pytest.raises(ConformanceError, match="silent"):
        suite().test_rings(Church(count=0))
    done = mixvel("plugins", "new", "hand", "--kind", "bell", "--out", str(tmp_path))
    assert done.code == 0, done.err
    folder = tmp_path / "mixvel-hand"
    hooks = (folder / "src/mixvel_hand/hooks.py").read_text()
    ast.parse(hooks)
    assert "def mixvel_bells()" in hooks
    assert 'target="mixvel_hand.bell:HandBell"' in hooks
    assert f"from {__name__} import Bell" in hooks
    assert (folder / "src/mixvel_hand/bell.py").read_text() == "class HandBell: ...\n"
    assert "bell: {use: hand}" in (folder / "README.md").read_text()


def test_rows_name_what_exists() -> None:
    for row in KINDS:
        module, _, name = row.protocol.partition(":")
        assert vars(import_module(module))[name] in vars(protocols).values()
        module, _, name = row.checks.partition(":")
        assert len(vars(import_module(module))[name]) >= 4
        package, _, path = row.template.partition(":")
        assert (files(package) / path).is_file()
    assert {use.kind for use in Use.__subclasses__()} >= {row.name for row in KINDS}
