"""Wrong recipes: how many are answered with an exit code and located lines, and within two seconds."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from recipe_answers import Answer, answer
from recipe_mutants import Mutant, mutants
from soak_rows import Row, Say

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.yaml"))
_SECONDS = 2.0
_EVERY = 500


def run(count: int, progress: Say) -> Iterator[Row]:
    """``count`` mutants of the shipped recipes, about as many of each."""
    rng = random.Random(count)
    each = -(-count // len(RECIPES))
    answers: list[tuple[Mutant, Answer]] = []
    with tempfile.TemporaryDirectory() as folder:
        for path in RECIPES:
            every = list(mutants(path.name, path.read_text(encoding="utf-8")))
            for mutant in rng.sample(every, min(each, len(every))):
                found = answer(mutant, Path(folder))
                answers.append((mutant, found))
                if found.fault:
                    progress(found.fault)
                if len(answers) % _EVERY == 0:
                    progress(f"{len(answers)} of {count}")
    wrong = [found for mutant, found in answers if mutant.fate != "accepted" and (found.refused or found.fault)]
    taken = [found for mutant, found in answers if found not in wrong]
    slowest = max(found.seconds for _, found in answers)
    progress(f"slowest answer {slowest:.2f} s")
    yield Row(
        what="shipped recipes made wrong",
        promise="exit code 2 or 3, every line with file, line and key",
        tried=len(wrong),
        fine=sum(found.fault is None for found in wrong),
    )
    yield Row(
        what="shipped recipes made differently",
        promise="taken",
        tried=len(taken),
        fine=sum(found.fault is None for found in taken),
    )
    yield Row(
        what="recipes of both kinds",
        promise=f"answered within {_SECONDS:g} s",
        tried=len(answers),
        fine=sum(found.seconds < _SECONDS for _, found in answers),
    )
