"""Untrusted experts: every known attack, and configurations of experts changed at random."""

from __future__ import annotations

import random
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from copy import deepcopy
from pathlib import Path
from typing import Any

from harmful_experts import HARMS, Harm, resealed
from silos import hand_over, save_data
from soak_rows import Row, Say

from mixvel_core.artifacts.files import read_json
from mixvel_core.errors import MixvelError
from mixvel_core.federated.assemble import assemble
from mixvel_core.protocols.progress import Silent

_MOST_KB = 500_000
_JUNK: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 7, 10**9, 10**18, 10**30, 1.5, 1e308, float("nan"), float("inf")),
    *("", "zzz", "../..", "/etc/passwd", "os:system", "x" * 100_000, "<script>", "\u202e", "\x00"),
    *([], {}, [[]], [1, 2, 3], {"use": "unet"}, {"use": {}}, [10**9] * 3, [0], {"zzz": 1}),
)


def run(count: int, progress: Say) -> Iterator[Row]:
    """Each known harm once, and ``count`` experts that say something made up of themselves."""
    with tempfile.TemporaryDirectory() as place, chdir(place):
        save_data(Path())
        honest = hand_over(Path(), 0, Path("honest"))
        known = [_refused(honest, harm, name, progress) for name, harm in HARMS.items()]
        yield Row(
            what="experts that mean harm",
            promise="refused in a line; nothing runs, is made or takes memory",
            tried=len(known),
            fine=sum(known),
        )
        rng = random.Random(count)
        made_up = [_answered(honest, rng, progress) for _ in range(count)]
        yield Row(
            what="experts that make up what they are",
            promise="refused in a line, or assembled; nothing runs or takes memory",
            tried=len(made_up),
            fine=sum(made_up),
        )


def _refused(honest: Path, harm: Harm, name: str, progress: Say) -> bool:
    bad = _copy(honest)
    harm(bad)
    said = _assembled(bad)
    fine = said.startswith("refused") and not Path("run").exists()
    if not fine:
        progress(f"{name}: {said}")
    return fine


def _answered(honest: Path, rng: random.Random, progress: Say) -> bool:
    bad = _copy(honest)
    about = deepcopy(read_json(bad / "config.json"))
    for _ in range(rng.randint(1, 3)):
        _change(about, rng)
    resealed(bad, about)
    said = _assembled(bad)
    fine = said.startswith(("refused", "assembled"))
    if not fine:
        progress(f"{about}: {said}")
    return fine


def _change(about: dict[str, Any], rng: random.Random) -> None:
    holder: Any = about
    while True:
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        below = holder[key]
        if not isinstance(below, (dict, list)) or not below or rng.random() < 0.3:
            break
        holder = below
    holder[key] = deepcopy(rng.choice(_JUNK))


def _copy(honest: Path) -> Path:
    for name in ("bad", "run"):
        shutil.rmtree(name, ignore_errors=True)
    for path in Path().glob("elsewhere-*"):
        path.unlink()
    return Path(shutil.copytree(honest, "bad"))


def _assembled(bad: Path) -> str:
    """What came of it: "refused: ...", "assembled", or what must never come."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        assemble([bad], Path("run"), recipe=None, overrides=[], progress=Silent())
        said = "assembled"
    except MixvelError as error:
        said = f"refused: {error}"
    # Whatever else comes out is a fault.
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if Path("owned").exists() or grown > _MOST_KB:
        return f"ran code, or took {grown} kB: {said}"
    return said
