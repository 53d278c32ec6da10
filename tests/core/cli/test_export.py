"""mixvel export: a run as a folder of diffusers, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command import Command
from whole_runs import EXACT, run

from mixvel_core.export import push as hub
from mixvel_core.export.card import places_in, without_places
from mixvel_core.export.parts import open_exported, parts_of


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors") / "run"
    run(EXACT, folder, stage="sample")
    return folder


def test_options_are_those_of_mixvel_sample_and_a_row(mixvel: Command, vectors: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = ("--method", "drawn", "--steps", "7", "--selector", "top1", "sample.delta=0.02")
    done = mixvel("export", str(vectors), "--to", str(out), *line)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == str(out)
    sampler = open_exported(parts_of(out)).sampler()
    names = (type(sampler.selector).__name__, type(sampler.integrator).__name__)
    assert (sampler.steps, sampler.delta, *names) == (7, 0.02, "TopK", "Heun")


def test_mistakes_are_a_line_and_write_nothing(mixvel: Command, vectors: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for line, problem in (
        ((str(vectors), "--to", str(out), "--method", "best"), "no method is called 'best'"),
        ((str(vectors), "--to", str(out), "--push", "name"), "write OWNER/NAME"),
        ((str(vectors), "--to", str(out), "--grid", "fast"), "sample.grid"),
        ((str(tmp_path / "none"), "--to", str(out)), "no run here"),
    ):
        done = mixvel("export", *line)
        assert (done.code, len(done.problems)) == (2, 1), done.err
        assert problem in done.problems[0]
    assert not list(tmp_path.iterdir())


def test_a_folder_is_pushed_when_it_is_written(
    mixvel: Command, vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[tuple[Path, str, dict[str, Any]]] = []

    def push(folder: Path, repo: str, **options: Any) -> str:
        assert (folder / "model_index.json").exists()
        pushed.append((folder, repo, options))
        return "https://huggingface.co/owner/name"

    monkeypatch.setattr(hub, "push", push)
    done = mixvel("export", str(vectors), "--to", str(tmp_path / "out"), "--push", "owner/name", "--public")
    assert (done.code, done.out.splitlines()[-1]) == (0, "https://huggingface.co/owner/name")
    assert pushed == [(tmp_path / "out", "owner/name", {"public": True, "replace": False})]


def test_paths_of_this_machine_are_found_and_shortened() -> None:
    recipe = {"expert": {"use": "diffusers", "path": "/models/ddpm"}, "files": ["~/a/b.npz", "c.npz"], "seed": 0}
    assert list(places_in(recipe)) == ["expert.path: /models/ddpm", "files.0: ~/a/b.npz"]
    short = {"expert": {"use": "diffusers", "path": ".../ddpm"}, "files": [".../b.npz", "c.npz"], "seed": 0}
    assert without_places(recipe) == short
