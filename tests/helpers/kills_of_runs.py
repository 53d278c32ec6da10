"""Runs of recipes/digits.yaml at small size that are stopped by signals, and what must be true of them in the end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from attrs import frozen
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from whole_runs import files, results

from mixvel_core.training.log import read_losses

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "digits.yaml"

_TRAIN = {"batch": 8, "warmup": 1, "checkpoint_every": 3, "log_every": 2}
_STEPS = {"expert": 10, "monolith": 40, "routers.a": 30}
SMALL = (
    *(f"{model}.channels=[4, 8]" for model in _STEPS),
    *(f"{model}.train.steps={steps}" for model, steps in _STEPS.items()),
    *(f"{model}.train.{name}={value}" for model in _STEPS for name, value in _TRAIN.items()),
    "sample.count=16",
    "sample.steps=[3]",
)
"""Overrides: twelve networks of a few steps, seven methods."""

_METHODS = 7


def _any(folder: Path, pattern: str) -> bool:
    return next(folder.glob(pattern), None) is not None


BEGUN: Mapping[str, Callable[[Path], bool]] = {
    "start": lambda folder: True,
    "partition": lambda folder: (folder / ".lock").exists(),
    "monolith": lambda folder: (folder / "monolith/losses.csv").exists(),
    "routers": lambda folder: _any(folder, "routers/*/*/losses.csv"),
    "experts": lambda folder: _any(folder, "experts/*/losses.csv"),
    "sample": lambda folder: (folder / "routers/a/done.json").exists(),
    "evaluate": lambda folder: len(list(folder.glob("samples/*/steps-*.npz"))) == _METHODS,
    "report": lambda folder: (folder / "scored.json").exists(),
}
"""How a stage is known to be under way, in the order of time: the longest trainings come first."""

EARLY = ("start", "partition")
WRITING = ("monolith", "routers", "experts", "sample")
"""Stages that write as they go."""


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Starts the run in a folder, in a process group of its own; its standard error is appended to ``FOLDER.err``."""
    # A process inherits that Ctrl-C is ignored, as it is for those that scripts start in the background.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    program = Path(sys.executable).with_name("mixvel")
    line = [str(program), "run", str(RECIPE), *SMALL, "--out", str(folder)]
    with folder.with_suffix(".err").open("ab") as err:
        return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=err, start_new_session=True)


def ended(folder: Path) -> None:
    """Runs the folder to its end, which must be a good one."""
    with start(folder) as process:
        assert process.wait() == 0, folder.with_suffix(".err").read_text()


@frozen(kw_only=True)
class Straight:
    """The run that nothing stopped: its folder, and the seconds that each stage took."""

    folder: Path
    seconds: Mapping[str, float]

    def moment(self, stage: str, rng: random.Random) -> float:
        """Seconds to wait in a stage; where nothing shows that the process has come so far, its start-up before it."""
        if stage in EARLY or stage in WRITING:
            return rng.uniform(0.0, self.seconds[stage])
        start = self.seconds["start"] + self.seconds["partition"]
        return rng.uniform(0.6 * start, start + self.seconds[stage])


def straight(folder: Path) -> Straight:
    """Runs it to its end and watches when its stages begin."""
    began = {"start": time.monotonic()}
    with start(folder) as process:
        while process.poll() is None:
            for stage, begun in BEGUN.items():
                if stage not in began and begun(folder):
                    began[stage] = time.monotonic()
            time.sleep(0.005)
    assert process.returncode == 0, folder.with_suffix(".err").read_text()
    ends = [*began.values(), time.monotonic()]
    return Straight(folder=folder, seconds={s: b - a for s, (a, b) in zip(began, pairwise(ends), strict=True)})


@frozen(kw_only=True)
class Stop:
    """What a signal did: in which stage it came, the exit code that followed, and what standard error then said."""

    by: signal.Signals
    stage: str
    code: int
    said: str

    @property
    def is_clean(self) -> bool:
        """Whether it ended as it should: at once and without a word, or by itself, saying how to go on."""
        if self.by is signal.SIGKILL:
            return (self.code, self.said) == (-signal.SIGKILL, "")
        return (self.code, self.said) == (130, "interrupted; run the same line again to go on\n")


def stop(folder: Path, target: str, wait: float, by: signal.Signals) -> Stop | None:
    """Starts the run, sends a signal to its process group ``wait`` seconds after stage ``target`` began; None where it
    came to its end before."""
    said = folder.with_suffix(".err")
    before = said.stat().st_size if said.exists() else 0
    since = time.time()
    with start(folder) as process:
        while not (BEGUN[target](folder) and (target not in WRITING or _has_written(folder, since))):
            if process.poll() is not None:
                break
            time.sleep(0.005)
        time.sleep(wait)
        stage = [name for name, begun in BEGUN.items() if begun(folder)][-1]
        if process.poll() is None:
            os.killpg(process.pid, by)
    # At 0 all was done, and at most Python had not ended yet.
    code = process.returncode
    return Stop(by=by, stage=stage, code=code, said=said.read_bytes()[before:].decode()) if code else None


def _has_written(folder: Path, since: float) -> bool:
    """Whether anything was written after the moment ``since``, besides the lock and the recipe at the very start."""
    return any(
        entry.stat().st_mtime > since
        for pattern in ("monolith/*", "routers/*/*/*", "experts/*/*", "samples/*/*")
        for entry in folder.glob(pattern)
        if entry.is_file() and not entry.name.startswith(".")
    )


def stopped_often(
    like: Straight, folder: Path, targets: Sequence[tuple[str, signal.Signals]], rng: random.Random, within: float = 1.0
) -> list[Stop]:
    """A run stopped by each of the signals, at a random moment of the stage named with it, then let go to its end.

    ``within``: the part of a stage, from its beginning, that the moment is in. On a machine whose speed varies a
    moment near the end may come too late, and a run that has ended cannot be stopped again.
    """
    stops = [stop(folder, target, within * like.moment(target, rng), by) for target, by in targets]
    ended(folder)
    return [one for one in stops if one is not None]


def differences(folder: Path, like: Path) -> list[str]:
    """What is otherwise than in the run that nothing stopped, or should not be there; timings apart."""
    mine, other = results(folder), results(like)
    found = [f"{name} differs" for name in sorted(mine.keys() | other.keys()) if mine.get(name) != other.get(name)]
    if _report(folder) != _report(like):
        found.append("report differs")
    found += [f"{name} is left over" for name in sorted(_kept(folder) ^ _kept(like))]
    for log in sorted(folder.rglob("losses.csv")):
        found += _recorded(folder, log)
    return found


def _report(folder: Path) -> object:
    report = json.loads((folder / "report/report.json").read_text())
    report.pop("timings")
    return report


def _kept(folder: Path) -> set[str]:
    """All files but checkpoints, of which an interruption may leave other steps, timings of steps, and events."""
    return {name for name in files(folder) if not name.startswith("tensorboard") and "/state/" not in name} - {
        name for name in files(folder) if name.endswith("speed.json")
    }


def _recorded(folder: Path, log: Path) -> list[str]:
    """Steps of one training that are shown twice, out of turn, or not at all."""
    columns = read_losses(log)
    steps = columns.pop("step")
    name = _job(log.relative_to(folder).parent)
    found = [] if steps == sorted(set(steps)) else [f"{log}: steps {steps}"]
    events = EventAccumulator(str(folder / "tensorboard" / name))
    events.Reload()
    for tag in columns:
        shown = [point.step for point in events.Scalars(tag)]
        if shown != steps:
            found.append(f"tensorboard {name} {tag}: steps {shown}, not {steps}")

    return found + _resumed(sorted((folder / "tensorboard" / name).iterdir()))


def _resumed(paths: Sequence[Path]) -> list[str]:
    """Where a process did not go on from the newest checkpoint of the one before it, which may be as many steps back
    as lie between two."""
    found, last = [], 0
    for path in paths:
        events = list(EventFileLoader(str(path)).Load())
        [first] = [event.step - 1 for event in events if event.HasField("session_log")]
        if not last - _TRAIN["checkpoint_every"] <= first <= last + _TRAIN["log_every"]:
            found.append(f"{path}: goes on after step {first}, step {last} was recorded before")
        last = max([first, *(event.step for event in events if event.HasField("summary"))])
    return found


def _job(place: Path) -> str:
    """The name of the training that left its losses in ``place``."""
    match place.parts:
        case ("experts", k):
            return f"expert-{k}"
        case ("routers", name, _):
            return f"router-{name}"
    return place.name
