"""Kill anywhere: `mixvel run recipes/digits.yaml` at small size, its process group killed again and again."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals

from kills_of_runs import BEGUN, Stop, differences, stopped_often, straight
from soak_rows import Row, Say

SEED = 20261122
ROUND = ("start", "partition", "monolith", "routers", "experts", "experts", "sample", "evaluate", "report")
POLITE = tuple(stage for stage in BEGUN if stage != "start")
END = "the run ends with the bits of one that nothing stopped, every step recorded once, nothing left over"


def run(count: int, progress: Say) -> Iterator[Row]:
    """``count`` kills at least, and one interruption of each kind in every stage."""
    rng, kills = random.Random(SEED), Counter[str]()
    good: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        like = straight(Path(place) / "straight")
        progress("uninterrupted: " + ", ".join(f"{name} {took:.1f} s" for name, took in like.seconds.items()))

        def round_of(name: str, by: Signals, targets: tuple[str, ...]) -> tuple[list[Stop], bool]:
            folder = Path(place) / name
            stops = stopped_often(like, folder, [(target, by) for target in targets], rng)
            apart = differences(folder, like.folder)
            for line in [*apart, *(f"{one}" for one in stops if not one.is_clean)]:
                progress(f"{name}: {line}")
            progress(f"{name}: {by.name} in {', '.join(one.stage for one in stops)}")
            return stops, not apart

        number = 0
        while kills.total() < count:
            number += 1
            stops, same = round_of(f"killed-{number}", SIGKILL, ROUND)
            for one in stops:
                kills[one.stage] += 1
                good[one.stage] += same and one.is_clean
        for stage in BEGUN:
            if kills[stage]:
                yield Row(what=f"SIGKILL, stage {stage}", promise=END, tried=kills[stage], fine=good[stage])
        for by in (SIGINT, SIGTERM):
            stops, same = round_of(by.name, by, POLITE)
            fine = sum(one.is_clean and same for one in stops)
            yield Row(
                what=f"{by.name}, any stage", promise=f"one line, exit code 130; {END}", tried=len(stops), fine=fine
            )
