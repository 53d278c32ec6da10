"""How the command starts, measured on the real thing: a process of its own, and the plugins that come with it."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from mixvel_core.plugin.kinds import kind_names

HEAVY = {
    *("torch", "numpy", "ray", "pyarrow", "fsspec", "diffusers", "sklearn", "matplotlib", "scipy", "ot", "torchdiffeq")
}
CODE = f"""
import sys
from mixvel_core.cli.main import main
try:
    main()
finally:
    print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr)
"""


def start(code: str, *arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """A process's output, and the CPU seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("argument", ["--help", "plugins"])
def test_it_starts_fast_and_light(argument: str) -> None:
    runs = [start(CODE, argument) for _ in range(3)]
    assert {done.stderr.strip() for done, _ in runs} == {"[]"}
    bare = min(start("")[1] for _ in range(3))
    assert min(seconds for _, seconds in runs) - bare < 0.3


def test_every_plugin_that_comes_with_mixvel_can_be_used() -> None:
    lines = start(CODE, "plugins")[0].stdout.splitlines()
    assert not [line for line in lines if line.startswith(("broken", "conflict"))]
    assert {line.split()[0] for line in lines[1:]} == set(kind_names())
