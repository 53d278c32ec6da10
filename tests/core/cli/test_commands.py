from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command import Command
from fake_plugins import RECIPE, definition, fake_registry, module, source, written_for

import mixvel_core.pipeline
from mixvel_core.errors import DataError, MixvelError, TrainingError
from mixvel_core.plugin.definition import CONTRACT
from mixvel_core.plugin.discovery import make_registry


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake plugins and no others."""
    monkeypatch.setattr("mixvel_core.plugin.discovery.load_registry", fake_registry)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(RECIPE)
    return "small.yaml"


def fake_pipeline(monkeypatch: pytest.MonkeyPatch, run: Callable[..., None]) -> None:
    plan = SimpleNamespace(plan=lambda checked, folder, *_, **__: f"plan of {checked.name}")
    monkeypatch.setattr(mixvel_core.pipeline, "run", SimpleNamespace(run=run), raising=False)
    monkeypatch.setitem(sys.modules, "mixvel_core.pipeline.plan", plan)


def test_run_passes_everything_on(mixvel: Command, recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def run(checked: Any, folder: Path, **rest: Any) -> None:
        calls.append({"seed": checked.seed, "folder": folder, **rest})
        with rest["progress"].task("expert-0", 5, "steps") as task:
            task.update(5, "loss 0.5")

    fake_pipeline(monkeypatch, run)
    done = mixvel(
        "run", recipe, "seed=9", "--stage", "experts", "--expert", "2", "--fresh", "--verify", "--out", "there"
    )
    assert done.code == 0, done.err
    (call,) = calls
    del call["progress"]
    assert call == {"seed": 9, "folder": Path("there"), "fresh": [], "stage": "experts", "expert": 2, "verify": True}
    assert done.out.splitlines()[:2] == ["recipe      small.yaml", "run folder  there"]
    assert done.out.splitlines()[2].startswith("expert-0  5/5 steps")
    assert mixvel("run", recipe).code == 0
    assert calls[1]["folder"] == Path("runs/small")
    assert calls[1]["stage"] is None


def test_check_and_dry_run_print_the_plan_and_run_nothing(
    mixvel: Command, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pipeline(monkeypatch, lambda *_, **__: pytest.fail("it ran"))
    for arguments in (("check", recipe), ("run", recipe, "--dry-run")):
        done = mixvel(*arguments)
        assert done.code == 0, done.err
        assert done.out.endswith("plan of small\n")
    assert [path.name for path in Path().iterdir()] == ["small.yaml"]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("no digits; install scikit-learn"), 3, "error: no digits; install scikit-learn"),
        (TrainingError("expert-3: the loss is not finite at step 7"), 4, "error: expert-3: the loss is not"),
        (MixvelError("one\ntwo"), 4, "error: one\nerror: two"),
        (OSError(28, "No space left on device"), 4, "error: [Errno 28] No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted; run the same line again to go on"),
    ],
)
def test_errors_are_lines_and_exit_codes_and_debug_shows_more(
    mixvel: Command, recipe: str, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    def run(*_: Any, **__: Any) -> None:
        raise error

    fake_pipeline(monkeypatch, run)
    done = mixvel("run", recipe)
    assert done.code == code
    assert done.err.startswith(line)
    assert "Traceback" not in done.err
    for arguments in (("--debug", "run", recipe), ("run", recipe, "--debug")):
        done = mixvel(*arguments)
        assert done.code == code
        assert "Traceback" in done.err
        assert line.splitlines()[0] in done.err


def test_a_termination_signal_is_an_interruption(mixvel: Command, recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pipeline(monkeypatch, lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    assert mixvel("run", recipe).code == 130


@pytest.mark.parametrize(
    "arguments",
    [("nothing",), ("run",), ("run", "r.yaml", "--expert", "x"), ("run", "r.yaml", "--unknown"), ("plugins", "hide")],
)
def test_usage_errors(mixvel: Command, arguments: tuple[str, ...]) -> None:
    done = mixvel(*arguments)
    assert done.code == 2
    assert "Error: " in done.err


def test_plugins_lists_all_and_flags_what_cannot_be_used(mixvel: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    one = module(
        definition("data", "d"), definition("metric", "m"), written_for(CONTRACT + 1, definition("metric", "late"))
    )
    two = module(definition("data", "d"))
    registry = make_registry([source(lambda: one, "first"), source(lambda: two, "second")])
    monkeypatch.setattr("mixvel_core.plugin.discovery.load_registry", lambda: registry)
    done = mixvel("plugins")
    assert done.code == 0
    assert [line.split() for line in done.out.splitlines()[:2]] == [
        ["kind", "name", "summary", "distribution", "version"],
        ["metric", "m", "a", "fake", "metric", "first", "1.0"],
    ]
    broken, conflict = done.out.splitlines()[2:]
    assert broken.startswith("broken: metric late of first 1.0: ")
    assert conflict.startswith("conflict: data d ")
    shown = mixvel("plugins", "show", "late")
    assert (shown.code, "metric late of first 1.0" in shown.err) == (3, True)


def test_plugins_show_prints_every_option(mixvel: Command) -> None:
    done = mixvel("plugins", "show", "net", "--kind", "expert")
    assert done.code == 0, done.err
    rows = {line.split()[0] for line in done.out.splitlines()}
    assert rows >= {"channels", "prediction", "clip", "folder", "weights", "train.steps", "train.ema"}
    both = mixvel("plugins", "show", "net").out
    assert "expert net" in both
    assert "router net" in both
    assert mixvel("plugins", "show", "vp-cosine").code == 0


@pytest.mark.parametrize("verb", ["show", "check"])
def test_plugins_and_kinds_that_are_not_there(mixvel: Command, verb: str) -> None:
    done = mixvel("plugins", verb, "vp-liner")
    assert (done.code, "vp-linear" in done.err) == (3, True)
    assert mixvel("plugins", verb, "net", "--kind", "metric").code == 3
    assert mixvel("plugins", verb, "net", "--kind", "exprt").code == 2
