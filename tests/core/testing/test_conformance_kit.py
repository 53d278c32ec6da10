"""The ways into the conformance kit: the command, pytest, and plain Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve, frozen
from command import Command, imported
from fake_plugins import definition, module, source

from mixvel_core import testing
from mixvel_core.plugin.definition import PluginDef
from mixvel_core.plugin.discovery import Entry, Registry, load_registry, make_registry
from mixvel_core.protocols import SchedulePoint
from mixvel_core.testing import checks_of, run_checks
from mixvel_core.testing.problems import Circle


@frozen(kw_only=True)
class Steep:
    """alpha falls twice as fast as it says."""

    def at(self, t: object) -> SchedulePoint:
        point = Circle().at(t)  # type: ignore[arg-type]  # a tensor
        return evolve(point, d_alpha=0.5 * point.d_alpha)


@frozen(kw_only=True)
class Careless:
    """Raises an error of its own."""

    def at(self, t: object) -> SchedulePoint:
        raise KeyError("alphas_cumprod")


def _example(made: object) -> PluginDef[object, object]:
    return evolve(definition("schedule", type(made).__name__.lower()), example=lambda: made)


def _registry(*components: object) -> Registry:
    made = module(*(_example(component) for component in components))
    return make_registry([source(lambda: made, "acme", "2.0")])


def _install(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    monkeypatch.setattr("mixvel_core.plugin.discovery.load_registry", lambda: registry)


def test_a_plugin_that_passes(mixvel: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, _registry(Circle(), Steep()))
    done = mixvel("plugins", "check", "circle")
    assert (done.code, done.err) == (0, "")
    head, *lines = done.out.splitlines()
    assert head == "schedule circle  (acme 2.0)"
    assert len(lines) == len(checks_of("schedule"))
    assert all(line.startswith("  ok    ") for line in lines)


def test_a_plugin_that_does_not(mixvel: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, _registry(Circle(), Steep()))
    done = mixvel("plugins", "check", "--kind", "schedule")
    assert done.code == 4
    [failed] = [line for line in done.out.splitlines() if line.startswith("  FAIL  ")]
    assert "d_alpha(0.05) is " in failed
    assert len(done.problems) == 1


def test_an_error_of_the_component_is_a_finding_with_its_place(
    mixvel: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(monkeypatch, _registry(Careless()))
    done = mixvel("plugins", "check", "careless")
    assert done.code == 4
    assert "KeyError: 'alphas_cumprod'\n        fix: test_conformance_kit.py:" in done.out
    assert "Traceback" not in done.err


def test_an_example_that_cannot_be_made_is_a_finding() -> None:
    def broken() -> object:
        raise FileNotFoundError("weights.pt")

    results = list(run_checks("metric", broken))
    assert {result.what for result in results} == {"raised FileNotFoundError: weights.pt"}


def test_plugins_that_cannot_be_used_are_named_where_all_are_checked(
    mixvel: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> object:
        raise ImportError("No module named 'gone'")

    made = module(_example(Circle()))
    sources = [source(lambda: made, "one"), source(lambda: made, "two"), source(gone, "three")]
    _install(monkeypatch, make_registry(sources))
    done = mixvel("plugins", "check")
    assert done.code == 3
    assert [name in line for name, line in zip(("three 1.0", "circle"), done.problems, strict=True)] == [True, True]


SUITE = """
import pytest
from mixvel_core.testing import Suite
from test_conformance_kit_parts import Steep

class TestSteep(Suite):
    kind = "schedule"

    @pytest.fixture
    def component(self):
        return Steep()

class TestNothing(Suite):
    kind = "schedule"
"""


def test_pytest_shows_what_is_wrong_and_none_of_the_kits_code(tmp_path: Path) -> None:
    # A process: a plugin can be named before it is imported in a new one only.
    (tmp_path / "test_conformance_kit_parts.py").write_text(
        "from attrs import evolve, frozen\nfrom mixvel_core.testing.problems import Circle\n"
        "@frozen\nclass Steep:\n    def at(self, t):\n"
        "        point = Circle().at(t)\n        return evolve(point, d_alpha=0.5 * point.d_alpha)\n"
    )
    (tmp_path / "test_steep.py").write_text(SUITE)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", "."),
            *("-p", "mixvel_core.testing.pytest_plugin", "test_steep.py"),
        ],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    count = len(checks_of("schedule"))
    assert f"1 failed, {count - 1} passed, {count} errors" in done.stdout, done.stdout + done.stderr
    failure = done.stdout.split(" TestSteep.test_derivatives ")[1].split("====")[0]
    assert "d_alpha(0.05) is" in failure
    assert "\nfix: differentiate alpha once more" in failure
    assert "schedules.py" not in failure
    assert "TestNothing needs a fixture `component` that returns the schedule to test" in done.stdout


def test_starting_pytest_imports_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "ray", "mixvel_core.testing.check")
    assert imported(heavy, "import mixvel_core.testing.pytest_plugin") == []


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = testing.Nothing


# The checks of the launcher ray start workers, two minutes in all: `mixvel plugins check ray` runs them.
ENTRIES = [entry for entry in load_registry().entries() if (entry.kind, entry.name) != ("launcher", "ray")]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_what_is_installed_passes_every_check(entry: Entry) -> None:
    results = list(run_checks(entry.kind, entry.definition.example))
    assert len({result.check.name for result in results}) == len(results) >= 4
    assert {result.check.name: f"{result.what}; {result.fix}" for result in results if result.error} == {}
