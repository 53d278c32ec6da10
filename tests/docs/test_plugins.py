"""What the pages about plugins show works as it stands: their files are written, found by entry point, and run."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Command

from mixvel_core.plugin.discovery import load_registry
from mixvel_core.plugin.kinds import KINDS

ROOT = Path(__file__).parents[2]
WRITE = (ROOT / "docs/write-a-plugin.md").read_text()
TEST = (ROOT / "docs/test-a-plugin.md").read_text()
MARKED = re.compile(r"^<!-- (?P<mark>[^\n]*) -->\n```\w+\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)

SMALL = (
    "data.count=160",
    "data.components=3",
    "data.dimension=2",
    "sample.count=32",
    "sample.steps=[5]",
    "evaluate.metrics=[sliced-w2]",
)


def marked(page: str) -> dict[str, str]:
    """The code blocks of a page that are run, by their marks."""
    return {found["mark"]: found["text"] for found in MARKED.finditer(page)}


@pytest.fixture
def mixvel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The command, where the page's project is installed."""
    files = {mark.removeprefix("file: "): text for mark, text in marked(WRITE).items() if mark.startswith("file: ")}
    assert len(files) == 3
    for place, text in files.items():
        path = tmp_path / "project" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    project = tomllib.loads(files["pyproject.toml"])["project"]
    info = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(f"{name} = {target}\n" for name, target in project["entry-points"]["mixvel"].items())
    (info / "entry_points.txt").write_text(f"[mixvel]\n{points}")
    for folder in (tmp_path / "site", tmp_path / "project/src"):
        monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(ROOT)
    load_registry.cache_clear()
    yield Command(monkeypatch=monkeypatch, capsys=capsys)
    load_registry.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "mixvel_diagonal"]:
        del sys.modules[name]


def test_the_router_of_the_page_is_checked_runs_and_is_reported(mixvel: Command, tmp_path: Path) -> None:
    install, check, run = marked(WRITE)["commands"].splitlines()
    assert install == "pip install -e ."
    done = mixvel(*shlex.split(check)[1:])
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("router diagonal  (mixvel-diagonal 0.1.0)\n  ok    ")
    out = tmp_path / "run"
    done = mixvel(*shlex.split(run)[1:], *SMALL, "--out", str(out))
    assert done.code == 0, done.err
    assert '"diagonal"' in (out / "report/report.json").read_text()
    assert mixvel(*shlex.split(run)[1:], "routers.diagonal.flor=1", "--dry-run").problems == [
        "routers.diagonal.flor=1 (command line)  routers.diagonal.flor  unknown option; did you mean floor?"
        "  (diagonal accepts floor)"
    ]


def test_the_suite_of_the_page_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "test_of_the_page.py"
    path.write_text(marked(TEST)["runs"])
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path), "--import-mode=importlib"]
    assert pytest.main([*options, str(path)]) == 0
    assert "\n11 passed" in capsys.readouterr().out


def test_every_kind_has_its_row_on_both_pages() -> None:
    for kind in KINDS:
        assert f"| `{kind.name}` | `{kind.hook}` " in WRITE
        assert f"| `{kind.name}` | " in TEST
