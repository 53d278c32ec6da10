"""Projects that `mixvel plugins new` writes: they pass their own tests at once, for every kind."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command import Command

from mixvel_core.plugin.kinds import kind_names

ROOT = Path(__file__).parents[3]
EDITABLE = "ignore:Module already imported so cannot be rewritten"
"""Said of the finder of an editable mixvel; of wheels there is nothing to say."""


@pytest.fixture
def projects(mixvel: Command, tmp_path: Path) -> list[Path]:
    """A project of every kind."""
    for kind in kind_names():
        done = mixvel("plugins", "new", f"new-{kind}", "--kind", kind, "--out", str(tmp_path))
        assert done.code == 0, done.err
        assert f"mixvel-new-{kind}/src/mixvel_new_{kind}/hooks.py" in done.out
    return sorted(tmp_path.iterdir())


def test_they_pass_their_own_tests(projects: list[Path]) -> None:
    assert len(projects) == len(kind_names())
    sources = os.pathsep.join(str(project / "src") for project in projects)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "-W", EDITABLE),
            *("--rootdir", ".", "-c", os.devnull, "--import-mode=importlib"),
            *(str(project / "tests") for project in projects),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=projects[0].parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([sources, str(ROOT), os.environ.get("PYTHONPATH", "")])},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = int(done.stdout.split(" passed")[0].split()[-1])
    assert passed > 7 * len(kind_names())


def test_they_are_written_as_we_write(projects: list[Path]) -> None:
    for arguments in (("check",), ("format", "--check")):
        done = subprocess.run(
            ["ruff", *arguments, "--config", str(ROOT / "pyproject.toml"), *map(str, projects)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])},
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_they_say_how_they_are_found_and_used(projects: list[Path]) -> None:
    for project in projects:
        about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
        ((package, module),) = about["entry-points"]["mixvel"].items()
        assert (project / "src" / package / "hooks.py").exists()
        assert module == f"{package}.hooks"
        assert f"use: {project.name.removeprefix('mixvel-')}" in (project / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        *((name, repr(name)) for name in ("", "2m", "a b", "near_means", "near--means", "../near", "Near", "größe")),
        ("schedules", "mixvel_schedules"),
        ("fixed", "'fixed'"),
    ],
)
def test_names_that_cannot_be(mixvel: Command, tmp_path: Path, name: str, says: str) -> None:
    done = mixvel("plugins", "new", name, "--kind", "router", "--out", str(tmp_path))
    assert (done.code, done.out) == (2, "")
    (line,) = done.problems
    assert says in line
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(mixvel: Command, tmp_path: Path) -> None:
    (tmp_path / "mixvel-mine").mkdir()
    done = mixvel("plugins", "new", "mine", "--kind", "router", "--out", str(tmp_path))
    assert done.code == 2
    assert "is there already" in done.err
    assert list((tmp_path / "mixvel-mine").iterdir()) == []
