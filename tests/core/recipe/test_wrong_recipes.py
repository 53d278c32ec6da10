"""What each wrong thing gets: a line a problem, an exit code, no traceback, and nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from command import Command, Done
from fake_plugins import definition, module, source
from whole_runs import EXACT, TRAINED, Bomb, results, run, save_classes, snapshot

from mixvel_core.plugin.discovery import PluginSource, installed, make_registry

NUMPY = "data={use: numpy, path: data.npz, labels: labels}"
UNET = "expert={use: unet, channels: [4, 8], train: {steps: 2}}"


@pytest.fixture
def mixvel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch=monkeypatch, capsys=capsys)


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
    refused(mixvel("run", "exact.yaml", "launcher=slurm"), 3, "launcher  no launcher is called 'slurm'")
    with_sources(monkeypatch, source(_no_module, "mixvel-slurm"))
    done = mixvel("run", "exact.yaml", "launcher=slurm")
    refused(done, 3, "no launcher is called 'slurm'")
    assert "mixvel-slurm 1.0" in done.err
    assert "No module named 'numba'" in done.err
    twin = module(definition("schedule", "vp-cosine"))
    with_sources(monkeypatch, source(lambda: twin, "other"))
    refused(mixvel("run", "exact.yaml"), 3, "schedule vp-cosine is claimed by mixvel 0.1.0 and other 1.0; uninstall")


def _folder_of_classes(*shapes: tuple[int, ...]) -> str:
    Path("classes").mkdir(exist_ok=True)
    for k, shape in enumerate(shapes):
        np.save(f"classes/{k}.npy", np.zeros(shape, np.float32))
    return "data={use: numpy, path: classes}"


DATA = [
    (["data={use: numpy, path: none.npz}"], 3, ["none.npz: does not exist; put the data there or change `path`"]),
    (["data={use: numpy, path: data.npz, items: pictures}"], 3, ["no array 'pictures'"]),
    (["data={use: numpy, path: exact.yaml}"], 3, ["exact.yaml: expected an .npy file"]),
    (["data={use: numpy, path: cut.npz}", "expert=empirical"], 3, ["cut.npz: "]),
    (["data={use: numpy, path: mixed}"], 3, ["mixed/1.npy: items are float32 of shape (1, 8, 6), but"]),
    (["data={use: numpy, path: data.npz}"], 3, ["the data have no labels"]),
    ([NUMPY, "partition.groups=[[0], [1]]"], 3, ["label 2 of the data stands in no group"]),
    ([NUMPY, "partition.groups=[[0, 1, 2], [3]]"], 3, ["shard 1 is empty, no item has label 3"]),
    ([NUMPY, "partition={use: kmeans, shards: 37}"], 3, ["37 shards of 36 items"]),
    ([NUMPY, "monolith=empirical"], 2, ["shard 0: its law is not known in closed form; use data gaussian"]),
    ([UNET], 2, ["expert unet: a U-Net needs images (C, H, W), not items of shape (4,)"]),
    ([NUMPY, UNET.replace("[4, 8]", "[4, 8, 8, 8, 8]"), "monolith=empirical"], 2, ["divisible by 16, not 8 x 8"]),
    (["evaluate.metrics=[{use: frechet, features: random-conv}]"], 2, ["random-conv"]),
    (["sample.count=1", "evaluate.metrics=[frechet]"], 2, ["metric frechet-pixels: 1 samples; at least 2 are needed"]),
    (["data.count=1", "data.components=1"], 2, ["one item in all: too few"]),
    (
        [UNET, "evaluate.metrics=[{use: frechet, features: random-conv}]"],
        2,
        ["expert unet: a U-Net needs images", "random-conv"],
    ),
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
    (["--stage", "expert"], ["--stage expert: the stages are partition, experts,"]),
    (["--expert", "0", "--stage", "sample"], ["--expert goes with --stage experts"]),
    (["--expert", "3"], ["--expert 3: there are experts 0 to 2"]),
    (["--out", "data.npz"], ["data.npz: cannot be written (File exists)"]),
    (["--out", "data.npz/run"], ["data.npz/run: cannot be written (Not a directory)"]),
    (["--out", "."], ["holds files that are no run (data.npz, ...); choose another --out"]),
]


@pytest.mark.parametrize(("arguments", "lines"), USAGE)
@pytest.mark.usefixtures("untouched")
def test_a_line_that_asks_for_what_cannot_be(mixvel: Command, arguments: Sequence[str], lines: Sequence[str]) -> None:
    refused(mixvel("run", "exact.yaml", *arguments), 2, *lines)


@pytest.mark.usefixtures("here")
def test_a_folder_of_another_recipe(mixvel: Command) -> None:
    assert mixvel("run", "exact.yaml", "--stage", "partition").code == 0
    before = snapshot(Path("runs"))
    line = "runs/exact: made by another recipe (seed: 0 -> 3; data.count: 60 -> 61); --fresh starts over, another --out"
    for verb in (("run",), ("check",), ("run", "--dry-run")):
        refused(mixvel(*verb, "exact.yaml", "seed=3", "data.count=61"), 2, line)
    assert snapshot(Path("runs")) == before
    assert mixvel("run", "exact.yaml", "seed=3", "--fresh", "--dry-run").code == 0
    assert snapshot(Path("runs")) == before
    assert mixvel("run", "exact.yaml", "seed=3", "--fresh", "--stage", "partition").code == 0


@pytest.mark.usefixtures("here")
def test_a_loss_that_is_not_finite(mixvel: Command) -> None:
    steep = [f"expert.train.{option}" for option in ("steps=40", "learning_rate=1e30", "warmup=0", "clip=1e30")]
    done = mixvel("run", "trained.yaml", *steep, "--expert", "1")
    refused(done, 4, "expert-1: step ")
    assert "the last good checkpoint is kept" in done.err
    # The line that failed can be said again, and says the same.
    refused(mixvel("run", "trained.yaml", *steep, "--expert", "1"), 4, done.err.strip())


@pytest.mark.usefixtures("here")
def test_a_full_disk(mixvel: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0

    def fsync(descriptor: int) -> None:
        nonlocal written
        written += 1
        if written > 20:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fsync)
        done = mixvel("run", "exact.yaml")
    refused(done, 4, "No space left on device")
    assert not list(Path("runs").rglob(".*"))
    assert mixvel("run", "exact.yaml", "--stage", "evaluate").code == 0
    run(EXACT, Path("straight"), stage="evaluate")
    assert results(Path("runs/exact")) == results(Path("straight"))


@pytest.mark.usefixtures("here")
def test_an_interruption(mixvel: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import nullcontext

    with monkeypatch.context() as interrupted:
        bomb = Bomb(fuse=6, error=KeyboardInterrupt)
        interrupted.setattr("mixvel_core.cli.output.shown_progress", lambda: nullcontext(bomb))
        refused(mixvel("run", "exact.yaml"), 130, "interrupted; run the same line again to go on")
    assert mixvel("run", "exact.yaml", "--stage", "evaluate").code == 0


@pytest.mark.usefixtures("untouched")
def test_the_real_command() -> None:
    code = "from mixvel_core.cli.main import main; main()"
    for arguments, status, line in (
        (["seed=x"], 2, "seed=x (command line)  seed  must be an integer, not the text 'x'\n"),
        (["data={use: numpy, path: none.npz}"], 3, "error: none.npz: does not exist;"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, "run", "exact.yaml", *arguments], capture_output=True, text=True
        )
        assert done.returncode == status
        assert done.stderr.startswith(line)
        assert len(done.stderr.splitlines()) == 1
