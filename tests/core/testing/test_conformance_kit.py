"""The ways into the conformance kit: the command, pytest, and plain Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve, frozen
from command import Command
from fake_plugins import definition, module, source

from mixvel_core import testing
from mixvel_core.plugin.definition import PluginDef
from mixvel_core.plugin.discovery import Registry, make_registry
from mixvel_core.plugin.kinds import kind_names
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


@pytest.fixture
def mixvel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch=monkeypatch, capsys=capsys)


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
    failed = [i for i, line in enumerate(done.out.splitlines()) if line.startswith("  FAIL  ")]
    assert len(failed) == 1
    assert "d_alpha(0.05) is " in done.out.splitlines()[failed[0]]
    assert done.out.splitlines()[failed[0] + 1].startswith("        fix: differentiate alpha once more")
    [problem] = done.problems
    assert problem.startswith("error: 1 check failed; ")


def test_an_error_of_the_component_is_a_finding_with_its_place(
    mixvel: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(monkeypatch, _registry(Careless()))
    done = mixvel("plugins", "check", "careless")
    assert done.code == 4
    assert "FAIL  shapes           raised KeyError: 'alphas_cumprod'\n        fix: test_conformance_kit.py:" in done.out
    assert "Traceback" not in done.err


def test_an_example_that_cannot_be_made_is_a_finding() -> None:
    def broken() -> object:
        raise FileNotFoundError("weights.pt")

    results = list(run_checks("metric", broken))
    assert {result.what for result in results} == {"raised FileNotFoundError: weights.pt"}


def test_unknown_names_and_kinds(mixvel: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, _registry(Circle()))
    assert "did you mean circle?" in mixvel("plugins", "check", "circel").err
    assert mixvel("plugins", "check", "circel").code == 3
    assert mixvel("plugins", "check", "circle", "--kind", "metric").code == 3
    assert mixvel("plugins", "check", "--kind", "metrik").code == 2


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
    assert done.problems == [
        "error: three.hooks of three 1.0: ImportError: No module named 'gone'",
        "error: schedule circle is claimed by one 1.0 and two 1.0; uninstall all but one",
    ]


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
    code = (
        "import sys, mixvel_core.testing.pytest_plugin\n"
        "print(sorted({'torch', 'numpy', 'ray', 'mixvel_core.testing.check'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_kind_has_checks_a_suite_and_words() -> None:
    for kind in kind_names():
        checks = checks_of(kind)
        suite = type("TestOfKind", (testing.Suite,), {"kind": kind})
        assert [check.name for check in checks] == [
            name.removeprefix("test_") for name in vars(suite) if name.startswith("test_")
        ]
        assert all(check.requirement and check.requirement != "None" for check in checks)
        assert len({check.name for check in checks}) == len(checks) >= 4
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = testing.Nothing
