"""Damage to the files of finished runs, of every kind to every file, and what must follow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from attrs import define, evolve, field, frozen
from whole_runs import EXACT, TRAINED, files, recipe_of, results, snapshot

from mixvel_core.analysis.commands import measure_run
from mixvel_core.analysis.records import StudyResult, read_study
from mixvel_core.analysis.study import study
from mixvel_core.analysis.theory_report import theory_report
from mixvel_core.errors import MixvelError
from mixvel_core.pipeline import run as pipeline
from mixvel_core.pipeline.more_samples import sample_run
from mixvel_core.protocols.progress import Silent

SMALL = {
    "exact": (
        EXACT,
        ("report.calibration=4", "study.count=4", "study.steps=[2, 4]", "theory.count=8", "theory.steps=[2]"),
    ),
    "trained": (TRAINED, ("expert.train.steps=4", "monolith.train.steps=4", "routers.a.train.steps=4")),
}


def _flipped(content: bytes, at: float, bit: int) -> bytes:
    place = min(int(at * len(content)), len(content) - 1)
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


KINDS: Mapping[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "empty": lambda content, rng: b"",
    "cut in half": lambda content, rng: content[: len(content) // 2],
    "without its last byte": lambda content, rng: content[:-1],
    "one bit": lambda content, rng: _flipped(content, rng.random(), int(rng.integers(8))) if content else b"\1",
    "first bit": lambda content, rng: _flipped(content, 0.0, 7) if content else b"\1",
    "zeros": lambda content, rng: bytes(len(content)),
    "noise": lambda content, rng: rng.bytes(len(content)),
    "a zip file": lambda content, rng: b"PK\3\4" + rng.bytes(max(60, len(content))),
    "JSON": lambda content, rng: b'{"key": [], "files": {"x": 1}, "notes": 3}',
}


_MISSING = "missing"
"""A kind too: the file is removed."""


def spoil(path: Path, kind: str, rng: np.random.Generator) -> None:
    """Replaces the content of a file, or removes it."""
    if kind == _MISSING:
        path.unlink()
    else:
        path.write_bytes(KINDS[kind](path.read_bytes(), rng))


@frozen(kw_only=True)
class Finished:
    """A finished run, never touched, and what `mixvel sample` draws from it."""

    folder: Path
    name: str
    drawn: Mapping[str, bytes]


def finished(name: str, folder: Path, *, studied: bool = False) -> Finished:
    """Makes it; with a study and the theory in it if ``studied``."""
    _run(name, folder, Silent())
    if studied:
        measure_run(study, folder, [], progress=Silent())
        measure_run(theory_report, folder, [], progress=Silent())
    return Finished(folder=folder, name=name, drawn=draw(folder, folder.with_name(f"{folder.name}-drawn")))


def _run(name: str, folder: Path, progress: Silent) -> None:
    text, overrides = SMALL[name]
    pipeline.run(recipe_of(text, *overrides), folder, progress=progress)


def draw(folder: Path, out: Path) -> dict[str, bytes]:
    overrides = ["sample.count=3", "sample.steps=[2]", "sample.seeds=[5]"]
    made = sample_run(folder, overrides, router=None, monolith=False, out=out, progress=Silent())
    return {path.name: path.read_bytes() for path in made}


@define
class _Lines(Silent):
    said: list[str] = field(factory=list)

    def line(self, text: str) -> None:
        self.said.append(text)


@frozen(kw_only=True)
class Outcome:
    """What followed: ``refused`` (the line) or made again, ``named`` if a line named the file; ``wrong``: what must not
    be."""

    refused: str
    named: bool
    wrong: tuple[str, ...]


def again(run: Finished, verb: str, victim: str, kind: str, place: Path, rng: np.random.Generator) -> Outcome:
    """The run copied to ``place``, one file of it damaged, and then ``verb``: run, sample or study.

    What must follow: the results of the whole run, or one line and nothing changed.
    """
    shutil.rmtree(place, ignore_errors=True)
    folder, out = Path(shutil.copytree(run.folder, place / "run")), place / "drawn"
    spoil(folder / victim, kind, rng)
    before, lines, refused, wrong = snapshot(folder), _Lines(), "", list[str]()
    try:
        if verb == "run":
            _run(run.name, folder, lines)
            wrong += _compared(folder, run.folder)
        elif verb == "sample":
            wrong += ["other samples"] if draw(folder, out) != run.drawn else []
        else:
            measure_run(study, folder, [], progress=lines)
            wrong += ["another study"] if _without_times(folder) != _without_times(run.folder) else []
    except MixvelError as error:
        refused = str(error)
        # To sample and study, a record that is damaged may take a file that it knows for damaged.
        if "\n" in refused or (victim if verb == "run" else victim.split("/")[0]) not in refused:
            wrong.append(f"says {refused!r}")
        if out.exists():
            wrong.append("refused, and yet something was written")
    if (verb == "sample" or (verb == "run" and refused)) and snapshot(folder) != before:
        wrong.append("the run changed")
    named = victim in refused or any(victim in line for line in lines.said)
    needed = verb == "run" and _matters(victim) and not named
    if needed and not _says_the_same(folder / victim, run.folder / victim, before.get(victim)):
        wrong.append("not named")
    return Outcome(refused=refused, named=named, wrong=tuple(wrong))


def _without_times(folder: Path) -> StudyResult | None:
    """The study of a run but for how long it took."""
    found = read_study(folder)
    return None if found is None else evolve(found, timings=())


def _says_the_same(path: Path, like: Path, damaged: tuple[str, int] | None) -> bool:
    """Whether a file was taken as it is, and rightly: a JSON file without the end of its last line."""
    untouched = damaged is not None and path.exists() and path.stat().st_mtime_ns == damaged[1]
    return untouched and path.suffix == ".json" and json.loads(path.read_text()) == json.loads(like.read_text())


def _matters(victim: str) -> bool:
    """Whether a finished run needs the file: not what lets a training go on, or says how fast it was."""
    unused = ("/state/", "trained.safetensors", "speed.json", "started.json", "recipe.yaml")
    beside = ("calibration/", "diagnostics/", "references/", "study/", "tensorboard/")
    return not (any(part in victim for part in unused) or victim.startswith(beside))


def _compared(folder: Path, like: Path) -> list[str]:
    mine, other = results(folder), results(like)
    for kept in (mine, other):
        # `mixvel study` makes these, not `mixvel run`.
        for name in [name for name in kept if name.startswith(("study/", "references/"))]:
            del kept[name]
    return [f"{name} is otherwise" for name in sorted(mine.keys() | other.keys()) if mine.get(name) != other.get(name)]


def cases(run: Finished) -> Sequence[tuple[str, str]]:
    """Every file of it with every kind of damage. Without its recipe a folder is no run, without its manifest what
    was made is not done: such files are not removed."""
    removable = {name for name in files(run.folder) if not name.endswith((".yaml", ".json"))}
    return [(v, kind) for v in files(run.folder) for kind in (*KINDS, _MISSING) if kind != _MISSING or v in removable]


def some_cases(run: Finished, first: int) -> Sequence[tuple[str, str]]:
    """One kind for each file: all kinds in turn, beginning with number ``first``."""
    of_file: dict[str, list[str]] = {}
    for victim, kind in cases(run):
        of_file.setdefault(victim, []).append(kind)
    return [(victim, kinds[(i + first) % len(kinds)]) for i, (victim, kinds) in enumerate(of_file.items())]
