"""The driver is stopped, then killed, and the same line goes on: nothing is left running, nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest
from ray_drills import drill
from trainable import run

from mixvel_core.training.checkpoint import trained_path
from mixvel_core.training.log import read_losses

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_DRIVER = """
import signal
import sys
from pathlib import Path
from ray_drills import drill
from mixvel_core.cli.output import ProgressLines
from mixvel_ray.launcher import RayLauncher
from mixvel_ray.hooks import RayOptions

def write(text):
    # Ray sets a handler of its own, which would end the process with nothing saved.
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    print(text, flush=True)

signal.signal(signal.SIGTERM, signal.default_int_handler)
try:
    RayLauncher(local_cpus=1).run(
        [drill("expert-0", Path("run"), pause=float(sys.argv[1]))], ProgressLines(write=write)
    )
except KeyboardInterrupt:
    sys.exit(130)
"""


class Drill:
    """Drivers in one folder. ``mark``: in the environment of every process that descends from them."""

    def __init__(self, folder: Path) -> None:
        tests = Path(__file__).parents[2]
        path = [str(tests / "helpers"), str(tests.parent), str(tests.parent / "plugins")]
        self.folder = folder
        self.mark = f"MIXVEL_DRILL={uuid4().hex}"
        name, value = self.mark.split("=")
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1", name: value}
        self.environment.pop("RAY_ADDRESS", None)

    def start(self, pause: float) -> subprocess.Popen[str]:
        """A driver in a process group of its own, as a shell would start it."""
        return subprocess.Popen(
            [sys.executable, "-c", _DRIVER, str(pause)],
            env=self.environment,
            cwd=self.folder,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_checkpoint(self, driver: subprocess.Popen[str], after: int) -> None:
        """Until a training past step ``after`` has saved."""
        until = time.monotonic() + 240
        while not [s for s in self.steps() if s > after]:
            assert driver.poll() is None, driver.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.05)

    def steps(self) -> list[int]:
        """Of the checkpoints that are there."""
        return sorted(int(path.stem.split("-")[1]) for path in self.folder.glob("run/state/step-*"))

    def left(self) -> list[str]:
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (place / "environ").read_bytes().split(b"\0"):
                    found.append((place / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found

    def check_nothing_left(self, seconds: float) -> None:
        """At once, or within some seconds."""
        until = time.monotonic() + seconds
        while self.left() and time.monotonic() < until:
            time.sleep(0.1)
        assert not self.left()


def test_stopped_then_killed_then_finished(tmp_path: Path) -> None:
    drills = Drill(tmp_path)

    driver = drills.start(pause=0.3)
    drills.wait_for_checkpoint(driver, after=0)
    os.killpg(driver.pid, signal.SIGINT)  # Ctrl-C: a terminal signals the whole group
    out, errors = driver.communicate(timeout=120)
    assert driver.returncode == 130, errors
    assert not errors
    assert "/40 steps" in out
    drills.check_nothing_left(5)
    [*_, saved] = drills.steps()
    assert saved >= 8

    driver = drills.start(pause=0.3)
    drills.wait_for_checkpoint(driver, after=saved)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate(timeout=120)
    drills.check_nothing_left(60)
    assert not trained_path(tmp_path / "run").exists()

    driver = drills.start(pause=0)
    out, errors = driver.communicate(timeout=240)
    assert (driver.returncode, errors) == (0, "")
    assert out.count("40/40 steps") == 1
    drills.check_nothing_left(5)
    run(drill("expert-0", tmp_path / "alone"))
    assert trained_path(tmp_path / "run").read_bytes() == trained_path(tmp_path / "alone").read_bytes()
    assert read_losses(tmp_path / "run" / "losses.csv") == read_losses(tmp_path / "alone" / "losses.csv")
