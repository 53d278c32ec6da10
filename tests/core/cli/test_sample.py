"""mixvel sample: more samples of a finished run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import Command
from PIL import Image
from whole_runs import EXACT, TRAINED, run, snapshot


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of vectors whose models are made."""
    folder = tmp_path_factory.mktemp("vectors") / "run"
    run(EXACT, folder, stage="sample")
    return folder


LINE = ("--count", "5", "--steps", "3", "--selector", "iid", "--integrator", "euler")


def test_images_come_as_arrays_and_as_a_picture(mixvel: Command, tmp_path: Path) -> None:
    images, out = tmp_path / "run", tmp_path / "out"
    run(TRAINED, images, stage="sample")
    before = snapshot(images)
    done = mixvel("sample", str(images), *LINE, "--out", str(out))
    assert done.code == 0, done.err
    arrays, picture = (Path(line) for line in done.out.splitlines()[-2:])
    assert {arrays, picture} == set(out.iterdir())
    with np.load(arrays) as found:
        assert found["x"].shape == (5, 1, 8, 8)
        assert np.isfinite(found["x"]).all()
        assert found["evaluations"].tolist() == [3] * 5
        assert found["usage"].shape == (3, 3)
    with Image.open(picture) as opened:
        assert opened.width > opened.height > 0
    assert snapshot(images) == before


def test_they_go_into_the_run_unless_told_otherwise(mixvel: Command, vectors: Path) -> None:
    done = mixvel("sample", str(vectors), *LINE)
    assert done.code == 0, done.err
    [written] = (vectors / "more").iterdir()
    assert re.fullmatch(r"exact-iid-euler-3-seed-0-[0-9a-f]{8}\.npz", written.name)
    # They are no part of the run: it goes on as before.
    run(EXACT, vectors, stage="sample")


def test_nothing_is_overwritten_and_what_is_there_is_not_made_again(
    mixvel: Command, vectors: Path, tmp_path: Path
) -> None:
    line = ("sample", str(vectors), "--count", "5", "--steps", "3", "--selector", "cached", "--out", str(tmp_path))
    assert mixvel(*line).code == 0
    first = snapshot(tmp_path)
    others = (
        ("sample.selector.tolerance=0.3",),
        ("sample.delta=0.05",),
        ("sample.grid=logsnr",),
        ("sample.weights.temperature=0.5",),
        ("--count", "6"),
        ("--seed", "1"),
        ("--router", "prior"),
        ("--monolith",),
    )
    for k, other in enumerate(others):
        done = mixvel(*line, *other)
        assert done.code == 0, done.err
        assert len(list(tmp_path.iterdir())) == k + 2, other
    assert first.items() <= snapshot(tmp_path).items()
    path = tmp_path / next(iter(first))
    before = path.stat().st_mtime_ns
    done = mixvel(*line)
    assert (done.code, done.out.splitlines()[-1]) == (0, str(path))
    assert "there already" in done.out
    assert path.stat().st_mtime_ns == before


def test_several_step_counts_in_one_call_are_refused(mixvel: Command, vectors: Path, tmp_path: Path) -> None:
    done = mixvel("sample", str(vectors), "sample.steps=[2, 3]", "--out", str(tmp_path / "out"))
    assert (done.code, len(done.problems)) == (2, 1)
    assert "sample.steps" in done.err


def test_the_same_line_gives_the_same_samples(mixvel: Command, vectors: Path, tmp_path: Path) -> None:
    def samples(folder: str, *line: str) -> np.ndarray:
        done = mixvel("sample", str(vectors), *LINE, *line, "--out", str(tmp_path / folder))
        assert done.code == 0, done.err
        [written] = (tmp_path / folder).iterdir()
        with np.load(written) as arrays:
            x: np.ndarray = arrays["x"]
            return x

    first = samples("a")
    assert samples("b").tobytes() == first.tobytes()
    np.testing.assert_allclose(samples("c", "--count", "9")[:5], first, atol=1e-6)
    for folder, line in (("d", "--seed=1"), ("e", "--steps=4"), ("f", "--monolith"), ("g", "--router=prior")):
        assert np.abs(samples(folder, line)[:5] - first).max() > 1e-3, line


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--selector", "id"], 3, "sample.selector"),
        (["--selector", ""], 2, "sample.selector"),
        (["--grid", ""], 2, "sample.grid"),
        (["--router", "oracle"], 2, "oracle"),
        (["--seed", "-1"], 2, "--seed"),
    ],
)
def test_what_cannot_be(
    mixvel: Command, vectors: Path, tmp_path: Path, arguments: list[str], code: int, line: str
) -> None:
    done = mixvel("sample", str(vectors), *arguments, "--out", str(tmp_path / "out"))
    assert done.code == code
    assert line in done.problems[-1]
    assert not (tmp_path / "out").exists()


def test_runs_that_are_not_finished(mixvel: Command, vectors: Path, tmp_path: Path) -> None:
    done = mixvel("sample", str(tmp_path / "none"))
    assert (done.code, len(done.problems)) == (2, 1)
    assert "recipe.yaml" in done.err
    folder = Path(shutil.copytree(vectors, tmp_path / "run"))
    parts: tuple[tuple[str, str, list[str]], ...] = (
        ("routers/prior", "router prior", ["--router", "prior"]),
        ("monolith", "the monolith", ["--monolith"]),
        ("experts/1", "expert 1", []),
    )
    for part, what, chosen in parts:
        shutil.rmtree(folder / part)
        if part != "experts/1":
            # What is there is usable without the rest.
            assert mixvel("sample", str(folder), *LINE).code == 0
        done = mixvel("sample", str(folder), *chosen)
        assert (done.code, len(done.problems)) == (2, 1)
        assert f"{folder}: {what}" in done.err
    assert mixvel("run", str(folder / "recipe.yaml"), "--out", str(folder), "--stage", "sample").code == 0
    assert mixvel("sample", str(folder), *LINE).code == 0
