"""mixvel sample and encode under conditions: classes, guidance, files of conditions, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command import Command
from whole_runs import EXACT, LABELLED, run

from mixvel_core.artifacts.arrays import write_arrays

LINE = ("--count", "6", "--steps", "3")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run under classes whose models are made."""
    folder = tmp_path_factory.mktemp("labelled") / "run"
    for stage in ("routers", "monolith", "experts"):
        run(LABELLED, folder, stage=stage)
    return folder


def arrays(line: str) -> dict[str, np.ndarray]:
    with np.load(line) as found:
        return dict(found)


def sampled(mixvel: Command, folder: Path, *words: str) -> dict[str, np.ndarray]:
    done = mixvel("sample", str(folder), *LINE, *words)
    assert done.code == 0, done.err
    return arrays(done.out.splitlines()[-1])


def test_classes_and_guidance_are_words_of_the_line(mixvel: Command, labelled: Path, tmp_path: Path) -> None:
    balanced = sampled(mixvel, labelled)
    assert balanced["condition.class"].tolist() == [0, 1] * 3
    ones = sampled(mixvel, labelled, "--class", "1")
    np.testing.assert_allclose(ones["x"][1::2], balanced["x"][1::2], atol=1e-6)
    guided = sampled(mixvel, labelled, "--class", "1,0", "--guidance", "2")
    assert guided["condition.class"].tolist() == [1, 0] * 3
    assert guided["evaluations"].mean() == 2 * ones["evaluations"].mean() == 18
    write_arrays(tmp_path / "rows.npz", {"class": np.array([1, 0] * 3)})
    same = sampled(mixvel, labelled, "--condition", str(tmp_path / "rows.npz"), "--guidance", "cfg")
    np.testing.assert_array_equal(same["x"], guided["x"])
    assert sampled(mixvel, labelled, "--guidance", "autoguidance")["evaluations"].mean() == 12
    none = sampled(mixvel, labelled, "sample.condition=null", "--guidance", "none")
    assert "condition.class" not in none


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--class", "7"), "sample.condition  there is no class 7; classes are 0 to 1"),
        (("--class", "shirt"), "sample.condition  there is no class 'shirt'; classes are 0 to 1"),
        (("--guidance", "nan"), "sample.guidance.scale  must be a finite number, not nan"),
        (("--guidance", "-inf"), "sample.guidance.scale  must be a finite number, not -inf"),
        (("--guidance", "-2"), "sample.guidance.scale  must be at least 0"),
        (("--condition", "absent.npz"), "absent.npz: cannot be read"),
        (("--condition", "long.npz"), "long.npz: 2 rows for 6 samples; give one for each (--count), or one for all"),
        (("--condition", "far.npz"), "far.npz: there is no class 4; classes are 0 to 1"),
        (("--class", "1", "--condition", "far.npz"), "--class and --condition both say"),
    ],
)
def test_what_is_wrong_gets_a_line(
    mixvel: Command,
    labelled: Path,
    words: tuple[str, ...],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_arrays(Path("long.npz"), {"class": np.array([0, 1])})
    write_arrays(Path("far.npz"), {"class": np.array([4])})
    done = mixvel("sample", str(labelled), *LINE, *words)
    assert done.code == 2, done.err
    [problem] = done.problems
    assert line in problem


def test_a_run_without_conditions_has_neither(mixvel: Command, tmp_path: Path) -> None:
    for stage in ("routers", "monolith", "experts"):
        run(EXACT, tmp_path / "run", stage=stage)
    for words in (("--class", "1"), ("--guidance", "2")):
        done = mixvel("sample", str(tmp_path / "run"), *LINE, *words)
        assert done.code == 2
        [problem] = done.problems
        assert "write `condition: {class: labels}`" in problem


def test_items_are_encoded_under_their_own_conditions_or_those_of_the_line(
    mixvel: Command, labelled: Path, tmp_path: Path
) -> None:
    def encoded(*words: str) -> dict[str, np.ndarray]:
        done = mixvel("encode", str(labelled), *words, "--steps", "30", "--out", str(tmp_path / "out"))
        assert done.code == 0, done.err
        return arrays(done.out.splitlines()[-1])

    own = encoded("--count", "8")
    assert set(own["condition.class"]) == {0, 1}
    assert np.median(own["error"]) < 0.01
    np.save(tmp_path / "items.npy", own["items"])
    given = ",".join(map(str, own["condition.class"].tolist()))
    again = encoded(str(tmp_path / "items.npy"), "--class", given)
    np.testing.assert_allclose(again["noise"], own["noise"], atol=1e-6)
    null = encoded(str(tmp_path / "items.npy"))
    assert "condition.class" not in null
    assert np.abs(null["noise"] - own["noise"]).max() > 0.01
    guided = encoded("--count", "8", "--guidance", "1.5")
    assert np.median(guided["error"]) < 0.1
