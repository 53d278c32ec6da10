"""How the command starts, measured on the real thing: a process of its own, and the plugins that come with it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = "{'torch', 'ray', 'numpy', 'sklearn', 'diffusers', 'matplotlib', 'scipy'}"
CODE = f"""
import sys
from mixvel_core.cli.main import main
try:
    main()
finally:
    print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a process that finds the entry points of pyproject.toml, installed or not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    site = tmp_path_factory.mktemp("site")
    info = site / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(f"{name} = {target}\n" for name, target in project["entry-points"]["mixvel"].items())
    (info / "entry_points.txt").write_text(f"[mixvel]\n{points}")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (site, ROOT, ROOT / "plugins")))}


def start(code: str, environment: dict[str, str], *arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """A process's output, and the CPU seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("argument", ["--help", "plugins"])
def test_it_starts_fast_and_light(environment: dict[str, str], argument: str) -> None:
    runs = [start(CODE, environment, argument) for _ in range(3)]
    assert {done.stderr.strip() for done, _ in runs} == {"[]"}
    bare = min(start("", environment)[1] for _ in range(3))
    assert min(seconds for _, seconds in runs) - bare < 0.3


def test_every_plugin_that_comes_with_mixvel_can_be_used(environment: dict[str, str]) -> None:
    done, _ = start(CODE, environment, "plugins")
    lines = done.stdout.splitlines()
    assert not [line for line in lines if line.startswith(("broken", "conflict"))]
    kinds = {line.split()[0] for line in lines[1:]}
    assert kinds == {
        "schedule", "expert", "router", "selector", "integrator", "data", "partitioner", "metric", "launcher"
    }  # fmt: skip
