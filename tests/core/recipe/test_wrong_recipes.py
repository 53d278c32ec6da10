"""What each wrong thing gets: a line a problem, an exit code, no traceback, and nothing written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from command import Command, Done
from fake_plugins import definition, module, source
from whole_runs import EXACT, TRAINED, save_classes, snapshot

from mixvel_core.plugin.discovery import PluginSource, installed, make_registry

NUMPY = "data={use: numpy, path: data.npz, labels: labels}"
UNET = "expert={use: unet, channels: [4, 8], train: {steps: 2}}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with recipes and data, and the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("exact.yaml").write_text(EXACT)
    Path("trained.yaml").write_text(TRAINED)
    save_classes(Path("data.npz"))
    return tmp_path


def refused(done: Done, code: int, *lines: str) -> None:
    """One line for each of ``lines``, which it holds, and no other."""
    assert done.code == code, done.err
    assert len(done.problems) == len(lines), done.err
    for problem, line in zip(done.problems, lines, strict=True):
        assert line in problem
        assert problem.isprintable()
    assert "Traceback" not in done.out + done.err


@pytest.fixture
def untouched(here: Path) -> Iterator[None]:
    """That the test writes nothing."""
    before = snapshot(here)
    yield
    assert snapshot(here) == before
    assert not Path("runs").exists()


def with_sources(monkeypatch: pytest.MonkeyPatch, *more: PluginSource) -> None:
    monkeypatch.setattr("mixvel_core.plugin.discovery.load_registry", lambda: make_registry([*installed(), *more]))


def _no_module() -> object:
    raise ImportError("No module named 'numba'")


@pytest.mark.usefixtures("untouched")
def test_plugins_that_cannot_be_had(mixvel: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(mixvel("run", "exact.yaml", "launcher=slurm"), 3, "slurm")
    with_sources(monkeypatch, source(_no_module, "mixvel-slurm"))
    done = mixvel("run", "exact.yaml", "launcher=slurm")
    refused(done, 3, "mixvel-slurm 1.0")
    assert "No module named 'numba'" in done.err
    twin = module(definition("schedule", "vp-cosine"))
    with_sources(monkeypatch, source(lambda: twin, "other"))
    refused(mixvel("run", "exact.yaml"), 3, "mixvel 0.1.0 and other 1.0")


DATA = [
    (["data={use: numpy, path: none.npz}"], 3, ["none.npz"]),
    (["data={use: numpy, path: data.npz, items: pictures}"], 3, ["pictures"]),
    (["data={use: numpy, path: exact.yaml}"], 3, ["exact.yaml"]),
    (["data={use: numpy, path: cut.npz}", "expert=empirical"], 3, ["cut.npz"]),
    (["data={use: numpy, path: mixed}"], 3, ["mixed/1.npy"]),
    (["data={use: numpy, path: data.npz, labels: none}"], 3, ["labels"]),
    ([NUMPY, "partition.groups=[[0], [1]]"], 3, ["label 2"]),
    ([NUMPY, "partition.groups=[[0, 1, 2], [3]]"], 3, ["label 3"]),
    ([NUMPY, "partition={use: kmeans, shards: 37}"], 3, ["37 shards"]),
    ([NUMPY, "monolith=empirical"], 2, ["shard 0"]),
    ([NUMPY, UNET.replace("[4, 8]", "[4, 8, 8, 8, 8]"), "monolith=empirical"], 2, ["divisible by 16, not 8 x 8"]),
    (["sample.count=1", "evaluate.metrics=[frechet]"], 2, ["frechet-pixels"]),
    (["data.count=1", "data.components=1"], 2, ["one item"]),
    ([UNET, "evaluate.metrics=[{use: frechet, features: random-conv}]"], 2, ["expert unet", "random-conv"]),
]


@pytest.mark.parametrize("verb", [("run",), ("check",), ("run", "--dry-run")])
@pytest.mark.parametrize(("overrides", "code", "lines"), DATA)
def test_data_that_are_missing_or_do_not_fit(
    mixvel: Command, here: Path, verb: Sequence[str], overrides: Sequence[str], code: int, lines: Sequence[str]
) -> None:
    Path("cut.npz").write_bytes(Path("data.npz").read_bytes()[:500])
    Path("mixed").mkdir()
    np.save("mixed/0.npy", np.zeros((3, 1, 8, 8), np.float32))
    np.save("mixed/1.npy", np.zeros((3, 1, 8, 6), np.float32))
    before = snapshot(here)
    refused(mixvel(*verb, "exact.yaml", *overrides), code, *lines)
    assert snapshot(here) == before
    assert not Path("runs").exists()


USAGE = [
    (["--stage", "expert"], "--stage expert"),
    (["--expert", "0", "--stage", "sample"], "--expert"),
    (["--expert", "3"], "--expert 3"),
    (["--out", "data.npz"], "data.npz"),
    (["--out", "data.npz/run"], "data.npz/run"),
    (["--out", "."], "data.npz"),
    (["study={grids: [[1.0, 0.5, 0.02]], steps: [2]}"], "study.grids.0  ends at 0.02, and `sample.delta` is 0.01"),
    (["sample.grid=[1.0, 0.5, 0.02]", "sample.steps=[2]"], "sample.grid  ends at 0.02, and `sample.delta` is 0.01"),
    (["sample.delta=0.01", "study={grids: [[1.0, 0.5, 0.02]], steps: [2]}"], "study.grids.0  ends at 0.02"),
]


@pytest.mark.parametrize(("arguments", "line"), USAGE)
@pytest.mark.usefixtures("untouched")
def test_a_line_that_asks_for_what_cannot_be(mixvel: Command, arguments: Sequence[str], line: str) -> None:
    refused(mixvel("run", "exact.yaml", *arguments), 2, line)


@pytest.mark.usefixtures("here")
def test_a_folder_of_another_recipe(mixvel: Command) -> None:
    assert mixvel("run", "exact.yaml", "--stage", "experts").code == 0
    before = snapshot(Path("runs"))
    line = "(seed: 0 -> 3; data.count: 60 -> 61)"
    for verb in (("run",), ("run", "--dry-run")):
        refused(mixvel(*verb, "exact.yaml", "seed=3", "data.count=61"), 2, line)
    assert snapshot(Path("runs")) == before
    assert mixvel("run", "exact.yaml", "seed=3", "--fresh", "--dry-run").code == 0
    assert snapshot(Path("runs")) == before
    assert mixvel("run", "exact.yaml", "seed=3", "--fresh", "--stage", "partition").code == 0


@pytest.mark.usefixtures("untouched")
def test_the_real_command() -> None:
    code = "from mixvel_core.cli.main import main; main()"
    for override, status in (("seed=x", 2), ("data={use: numpy, path: none.npz}", 3)):
        command = [sys.executable, "-c", code, "run", "exact.yaml", override]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, len(done.stderr.splitlines())) == (status, 1)
