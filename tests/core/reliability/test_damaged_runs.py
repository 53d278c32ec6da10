"""Files of a run that were damaged are made again as they were, or named; they are never used."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from whole_runs import EXACT, TRAINED, files, results, run, snapshot

from mixvel_core.artifacts.files import checksum
from mixvel_core.errors import ArtifactError, UsageError
from mixvel_core.pipeline.more_samples import sample_run
from mixvel_core.pipeline.opened import open_run
from mixvel_core.protocols.progress import Silent


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, up to its scores."""
    folder = tmp_path_factory.mktemp("exact")
    run(EXACT, folder, stage="evaluate")
    return folder


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_bytes_that_changed_behind_the_file_system_are_found_when_all_are_read(
    exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(exact, tmp_path / "run"))
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return checksum(path)

    monkeypatch.setattr("mixvel_core.artifacts.artifact.checksum", counted)
    run(EXACT, folder, stage="evaluate")
    few = ["sample.count=4", "sample.steps=[2]"]
    sample_run(folder, few, router=None, monolith=False, out=folder / "more", progress=Silent())
    assert read == []
    path = folder / "shards/1/items.npy"
    before = path.stat()
    path.write_bytes(_flipped(path.read_bytes()))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ArtifactError, match=r"shards/1/items\.npy: damaged"):
        sample_run(folder, [], router=None, monolith=False, out=folder / "more", progress=Silent(), verify=True)
    run(EXACT, folder, stage="evaluate", verify=True)
    assert {name: one for name, one in results(folder).items() if not name.startswith("more")} == results(exact)


def test_a_folder_of_an_earlier_format_is_refused_in_one_line(exact: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exact, tmp_path / "run"))
    path = folder / "recipe.yaml"
    path.write_bytes(path.read_bytes().replace(b", format 2: ", b": ", 1))
    before = snapshot(folder)
    for use in (lambda: run(EXACT, folder), lambda: open_run(folder)):
        with pytest.raises(
            UsageError, match=r"made by an earlier mixvel \(run folders of format 1, here 2\)"
        ) as refused:
            use()
        assert "\n" not in str(refused.value)
    assert snapshot(folder) == before
    run(EXACT, folder, stage="partition", fresh=())
    assert path.read_bytes().startswith(b"# Written by `mixvel run`, format 2: ")


def test_everything_zeroed_at_once(exact: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exact, tmp_path / "run"))
    for name, path in files(folder).items():
        if name != "recipe.yaml":
            path.write_bytes(bytes(path.stat().st_size))
    run(EXACT, folder, stage="evaluate")
    assert results(folder) == results(exact)


@pytest.mark.parametrize("lost", ["model", "model and result", "model, result and a checkpoint"])
def test_a_damaged_network_is_made_again_from_the_best_that_is_left(tmp_path: Path, lost: str) -> None:
    run(TRAINED, tmp_path, expert=0)
    expected = results(tmp_path)
    expert = tmp_path / "experts/0"
    names = ("model.safetensors", "trained.safetensors", "state/step-000000006.safetensors")
    victims = [expert / name for name in names]
    for path in victims[: 1 + lost.count(",") + lost.count("and")]:
        path.write_bytes(_flipped(path.read_bytes()))
    run(TRAINED, tmp_path, expert=0)
    assert results(tmp_path) == expected


@pytest.mark.parametrize("part", ["shards", "experts/1", "monolith", "routers/exact", "samples/drawn"])
def test_parts_of_another_run_are_not_used(exact: Path, tmp_path: Path, part: str) -> None:
    run(EXACT, tmp_path / "other", "data.seed=5", stage="evaluate")
    folder = Path(shutil.copytree(exact, tmp_path / "run"))
    shutil.rmtree(folder / part)
    shutil.copytree(tmp_path / "other" / part, folder / part)
    run(EXACT, folder, stage="evaluate")
    # Samples of other models stay, and those of this run lie beside them.
    kept = {} if part != "samples/drawn" else {n: c for n, c in results(tmp_path / "other").items() if part in n}
    assert set(results(folder).values()) == {*results(exact).values(), *kept.values()}


def test_a_damaged_recipe_is_named_or_written_again(exact: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exact, tmp_path / "run"))
    path = folder / "recipe.yaml"
    good = path.read_bytes()
    cuts = [good[:end] for end in range(0, len(good), 97)]
    flips = [
        good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :] for at in range(3, len(good), 41) for bit in (0, 7)
    ]
    refused: list[str] = []
    for bad in [*cuts, *flips, bytes(len(good))]:
        path.write_bytes(bad)
        before = snapshot(folder)
        try:
            run(EXACT, folder, stage="partition")
        except UsageError as error:
            refused.append(str(error))
            assert snapshot(folder) == before
        else:
            assert path.read_bytes() == good
    # What was asked is kept in questions/ too; only where the format cannot be read right is there nothing to go by.
    assert len(refused) < 4
    assert all("made by" in line and "\n" not in line for line in refused)
    assert results(folder) == results(exact)


@pytest.mark.parametrize("own", [{}, {"recipe.yaml": EXACT}], ids=["files", "recipe"])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, own: dict[str, str]) -> None:
    for name, text in {"thesis.txt": "years of work", **own}.items():
        (tmp_path / name).write_text(text)
    before = snapshot(tmp_path)
    for fresh in (None, ()):
        with pytest.raises(UsageError, match="recipe.yaml: not written by" if own else "no run .thesis.txt, "):
            run(EXACT, tmp_path, fresh=fresh)
    assert snapshot(tmp_path) == before
