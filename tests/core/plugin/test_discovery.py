from __future__ import annotations

import sys
from typing import Any

import pytest
from attrs import evolve, frozen
from fake_plugins import CountOptions, definition, fake_registry, module, source, written_for

from mixvel_core.errors import PluginError
from mixvel_core.plugin.definition import CONTRACT, PluginDef
from mixvel_core.plugin.discovery import installed, make_registry


def test_finds_what_modules_offer_with_its_origin() -> None:
    made = module(definition("schedule", "b"), definition("schedule", "a"), definition("metric", "m"))
    registry = make_registry([source(lambda: made, "acme", "2.1")])
    assert [(e.kind, e.name, e.origin) for e in registry.entries()] == [
        ("metric", "m", "acme 2.1"),
        ("schedule", "a", "acme 2.1"),
        ("schedule", "b", "acme 2.1"),
    ]
    assert registry.names("schedule") == ("a", "b")
    assert registry.get("schedule", "a").name == "a"
    assert not registry.broken
    assert not registry.conflicts


def test_unknown_name_says_what_is_near_and_what_there_is() -> None:
    with pytest.raises(PluginError, match=r"did you mean vp-cosine\?.*vp-cosine, vp-linear"):
        fake_registry().get("schedule", "vp-cosin")


def _import_error() -> object:
    raise ImportError("No module named 'gone'\nand a second line")


def _exit() -> object:
    sys.exit("no")


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (_import_error, "ImportError: No module named 'gone'"),
        (_exit, "SystemExit: no"),
        (lambda: module(mixvel_schedule=lambda: []), "mixvel_schedule"),
        (lambda: module(mixvel_schedules=lambda: 3), "TypeError: mixvel_schedules must return a list"),
        (lambda: module(mixvel_schedules=lambda: 1 / 0), "ZeroDivisionError"),
        (lambda: module(), "it offers no plugin"),
        (lambda: module(mixvel_schedules=lambda: ["vp"]), "returned str, not PluginDef"),
        (lambda: module(mixvel_schedules=lambda: [definition("metric", "m")]), "the hook of schedule"),
        (lambda: module(definition("metric", "a b")), "is not a name"),
        (lambda: module(definition("metric", "m", int)), "not an attrs class"),
    ],
)
def test_a_broken_plugin_is_recorded_in_a_line_and_harms_no_other(load, reason) -> None:  # type: ignore[no-untyped-def]  # parametrized
    good = module(definition("schedule", "vp"))
    registry = make_registry([source(load, "acme", "3"), source(lambda: good)])
    assert registry.names("schedule") == ("vp",)
    (broken,) = registry.broken
    assert reason in broken.reason
    assert "\n" not in str(broken)
    assert "acme 3" in str(broken)


def test_a_broken_module_is_named_only_when_a_name_is_missing() -> None:
    registry = make_registry([source(_import_error, "acme", "3"), source(lambda: module(definition("data", "d")))])
    assert registry.get("data", "d").name == "d"
    with pytest.raises(PluginError, match=r"broken plugin: acme.hooks of acme 3: ImportError"):
        registry.get("data", "e")


@pytest.mark.parametrize(
    ("contract", "remedy"),
    [(CONTRACT + 1, "a newer mixvel"), (CONTRACT - 1, "CHANGELOG.md"), (None, f"`contract={CONTRACT}`")],
)
def test_a_definition_for_another_contract_is_refused_when_it_is_used(contract: int | None, remedy: str) -> None:
    made = module(written_for(contract, definition("data", "d")), definition("data", "e"))
    registry = make_registry([source(lambda: made)])
    assert registry.names("data") == ("e",)
    with pytest.raises(PluginError, match=f"data d of fakes 1.0: .*{remedy}"):
        registry.get("data", "d")


def test_only_mixvels_own_need_not_give_a_contract() -> None:
    made = module(written_for(None, definition("data", "d")))
    assert make_registry([source(lambda: made, "mixvel")]).names("data") == ("d",)


@frozen(kw_only=True)
class Sized:
    """What a target makes."""

    count: int


def _targeted(target: str, example_options: Any = None) -> PluginDef[Any, Any]:
    return PluginDef(
        kind="data",
        name="d",
        options=CountOptions,
        target=target,
        summary="sized",
        contract=CONTRACT,
        example_options=example_options or CountOptions(count=2),
    )


def test_a_target_is_called_with_the_fields_of_the_options() -> None:
    made = _targeted(f"{__name__}:Sized")
    assert made.build(CountOptions(count=3)) == Sized(count=3)
    assert made.example() == Sized(count=2)
    of_files = _targeted(f"{__name__}:Sized", lambda: CountOptions(count=4))
    assert of_files.example() == Sized(count=4)


@pytest.mark.parametrize("target", ["", "nowhere"])
def test_a_definition_that_cannot_build_is_broken(target: str) -> None:
    [broken] = make_registry([source(lambda: module(_targeted(target)))]).broken
    assert "neither a `target`" in broken.reason


def test_two_claims_to_a_name_are_refused_when_it_is_used() -> None:
    one, two = module(definition("data", "d"), definition("data", "e")), module(definition("data", "d"))
    registry = make_registry([source(lambda: one, "first", "1"), source(lambda: two, "second", "2")])
    assert registry.names("data") == ("e",)
    (conflict,) = registry.conflicts
    assert (conflict.kind, conflict.name) == ("data", "d")
    with pytest.raises(PluginError, match=r"data d is claimed by first 1 and second 2; uninstall all but one"):
        registry.get("data", "d")


def test_the_order_of_entry_points_does_not_matter() -> None:
    one, two = module(definition("data", "d")), module(definition("data", "e"), definition("metric", "a"))
    sources = [source(lambda: one, "first"), source(lambda: two, "second")]
    assert make_registry(sources).found == make_registry(sources[::-1]).found


def test_installed_reads_entry_points_of_distributions_on_the_path(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]  # fixtures
    info = tmp_path / "acme_more-4.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-more\nVersion: 4.2\n")
    (info / "entry_points.txt").write_text("[mixvel]\nacme = acme_hooks_of_a_test\n")
    (tmp_path / "acme_hooks_of_a_test.py").write_text("raise RuntimeError('not today')\n")
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = [s for s in installed() if s.distribution == "acme-more"]
    assert (found.name, found.module, found.version) == ("acme", "acme_hooks_of_a_test", "4.2")
    (broken,) = make_registry([evolve(found)]).broken
    assert broken.reason == "RuntimeError: not today"
