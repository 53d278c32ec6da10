"""Whether the answer to a mutant of a recipe is right: refused or not as it must be, with the line of the fault."""

from __future__ import annotations

import re
import time
from pathlib import Path

from attrs import frozen
from recipe_mutants import Mutant

from mixvel_core.errors import RecipeError
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.recipe.resolve import load_recipe

_NO_LINE = ("not UTF-8 text", "cannot be read")


@frozen(kw_only=True)
class Answer:
    """``fault``: what is wrong about the answer, if anything is. ``refused``: whether the recipe was."""

    refused: bool
    seconds: float
    fault: str | None


def answer(mutant: Mutant, folder: Path) -> Answer:
    """Checks a mutant as `mixvel check` does, as a file in ``folder``."""
    path = folder / "r.yaml"
    path.write_bytes(mutant.content)
    began = time.monotonic()
    problems: tuple[str, ...] = ()
    code, crash = 0, None
    try:
        load_recipe(path, [], load_registry())
    except RecipeError as error:
        problems, code = error.problems, error.exit_code
    # A fault of mixvel, whatever it is.
    except Exception as error:
        crash = f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - began
    fault = crash or _fault(mutant, path, code, problems)
    return Answer(refused=code != 0, seconds=seconds, fault=fault and f"{mutant}: {fault}")


def _fault(mutant: Mutant, path: Path, code: int, problems: tuple[str, ...]) -> str | None:
    if (code, mutant.fate) in ((0, "refused"), (2, "accepted"), (3, "accepted")):
        return f"ended with {code}; {problems[:2]}"
    if code == 0:
        return None
    if code not in (2, 3) or not problems:
        return f"ended with {code} and said {problems[:2]}"
    if ugly := [line for line in problems if not line.isprintable() or len(line) > 1000]:
        return f"said {ugly[0]!r}"
    places = [re.match(rf"{re.escape(str(path))}:(\d+)  ", line) for line in problems]
    lost = [line for line, place in zip(problems, places, strict=True) if place is None and not _needs_none(line)]
    if lost:
        return f"did not say where: {lost[0]}"
    first, last = mutant.lines
    named = [int(place[1]) for place in places if place is not None]
    if mutant.fate == "refused" and named and not any(first <= line <= last for line in named):
        return f"looked for the fault in lines {named}, not in {first} to {last}"
    return None


def _needs_none(line: str) -> bool:
    """Whether there is no line to name: of what is no text, or of all the problems that are not shown."""
    return (
        any(reason in line for reason in _NO_LINE) or re.fullmatch(r"\d+ more problems are not shown", line) is not None
    )
