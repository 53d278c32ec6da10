"""The recipes of a run folder: ``recipe.yaml``, what was asked last, and in ``questions/`` all that was asked so far.

A run grows: its models stay, and every recipe that describes the same models is a further question to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from mixvel_core.artifacts.artifact import FORMAT
from mixvel_core.artifacts.files import digest, digest_of, remove_unfinished, write_text
from mixvel_core.errors import ArtifactError, RecipeError, UsageError
from mixvel_core.machine import check_name
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import Progress
from mixvel_core.protocols.progress import SILENT
from mixvel_core.recipe.dump import dump, keyed
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import load_recipe
from mixvel_core.recipe.text import parse

_HEADER = f"# Written by `mixvel run`, format {FORMAT}: the recipe of this folder, with every option.\n"
"""What a run folder is known by. A folder with a recipe of its owner's making is none, and --fresh spares it."""

_HEADERS = re.compile(rb"# Written by `mixvel run`(?:, format (\d+))?: ")
"""Of all formats; the first one has no number."""

_CHECKSUM = "# Checksum of the lines below: "
"""One number that turned into another is still a recipe."""

QUESTIONS = "questions"
EDITED = "recipe.edited.yaml"
"""Where a ``recipe.yaml`` goes that was edited, and that another recipe takes the place of."""

_WHERE = ("launcher", "plan", "report", "study", "theory")
_WHERE_OF_SAMPLE = ("batch", "launcher", "resident_experts", "threads")


def check_folder(folder: Path, all_goes: bool = False) -> None:
    """Changes nothing. Raises UsageError where ``folder`` is no run, or cannot be one, or, unless all of it goes, is
    of another format."""
    check_name(folder)
    path = folder / "recipe.yaml"
    found = _format(path)
    if found is None and not path.exists():
        # What was asked is written before recipe.yaml: a disk that was full, or a kill, between them leaves a run.
        begun = {".lock", QUESTIONS} if _holds_only_questions(folder) else {".lock"}
        others = sorted(p.name for p in folder.iterdir() if p.name not in begun) if folder.exists() else []
        if others:
            raise UsageError(f"{folder}: holds files that are no run ({others[0]}, ...); choose another --out")
    elif found is None and not any(_format(one) for one in _archived(folder)):
        raise UsageError(f"{path}: not written by `mixvel run`, or damaged; choose another --out, or remove {folder}")
    elif not all_goes and found not in (None, FORMAT):
        raise UsageError(_of_another_format(folder, found or 1))


def _holds_only_questions(folder: Path) -> bool:
    """Whether all that lies in the folder of what was asked, if it is there, was asked, or is about to be written."""
    found = (folder / QUESTIONS).iterdir() if (folder / QUESTIONS).is_dir() else iter(())
    return {path for path in found if not path.name.startswith(".")} <= {*_archived(folder)}


def check_recipe(folder: Path) -> None:
    """Raises UsageError where the run in ``folder`` is of another format, ArtifactError where its recipe is not as it
    was written."""
    path = folder / "recipe.yaml"
    if (found := _format(path)) is not None and found != FORMAT:
        raise UsageError(_of_another_format(folder, found))
    if not _is_as_written(path):
        kept = f"; as it was asked it is in {folder / QUESTIONS}" if any(_archived(folder)) else ""
        raise ArtifactError(
            f"{path}: edited since `mixvel run` wrote it, or damaged; `mixvel run {path} --out {folder}` takes up what "
            f"was edited{kept}"
        )


def _format(path: Path) -> int | None:
    """Of the run folder with this recipe; None where `mixvel run` did not write it."""
    found = _HEADERS.match(path.read_bytes()) if path.is_file() else None
    return None if found is None else int(found[1] or 1)


def is_run_recipe(path: Path) -> bool:
    """Whether ``path`` is the recipe that a run wrote into its own folder, among what it made; not a copy of one."""
    made = ("shards", "experts", "samples", "questions")
    return path.name == "recipe.yaml" and _format(path) is not None and any((path.parent / n).is_dir() for n in made)


def _of_another_format(folder: Path, found: int) -> str:
    which = "an earlier" if found < FORMAT else "a later"
    return (
        f"{folder}: made by {which} mixvel (run folders of format {found}, here {FORMAT}); use that version for it, "
        "choose another --out, or start over with `--fresh all`"
    )


def _is_as_written(path: Path) -> bool:
    content = path.read_bytes()
    return content == _as_written(content.split(b"\n", 2)[-1])


def _as_written(body: bytes) -> bytes:
    return f"{_HEADER}{_CHECKSUM}{digest([body])}\n".encode() + body


def begin(recipe: Recipe, folder: Path, progress: Progress = SILENT, *, anew: bool = False) -> None:
    """Makes ``recipe`` what is asked in ``folder``, which is checked and locked; what was asked before is kept, unless
    ``anew``."""
    path = folder / "recipe.yaml"
    remove_unfinished(folder)
    if not anew:
        _keep_last(path, recipe, progress)
    content = _as_written(dump(recipe).encode())
    _keep_question(folder, recipe, content, progress)
    if not path.exists() or path.read_bytes() != content:
        write_text(path, content.decode())


def _keep_last(path: Path, recipe: Recipe, progress: Progress) -> None:
    """Keeps what was asked before, by a version that kept no questions, or was edited and is not what is asked now."""
    if not path.exists():
        return
    if _is_as_written(path):
        if not any(_archived(path.parent)):
            with suppress(RecipeError):
                _keep_question(path.parent, load_recipe(path, [], load_registry()), path.read_bytes(), progress)
        return
    if _plain_text(path) is None:
        progress.line(f"{path}: damaged; written again")
        return
    with suppress(RecipeError):
        if load_recipe(path, [], load_registry()) == recipe:
            return
    path.replace(path.with_name(EDITED))
    progress.line(f"{path}: was edited, and is not what is asked now; kept as {EDITED}")


def _plain_text(path: Path) -> dict[str, Any] | None:
    """What a recipe file holds; None where it is no YAML any more."""
    try:
        value = parse(path.read_text(encoding="utf-8"), str(path)).value
    except (OSError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None


def _keep_question(folder: Path, recipe: Recipe, content: bytes, progress: Progress) -> None:
    name = digest_of(_results(recipe))[:8]
    there = list(_archived(folder))
    for path in there:
        if not _is_as_written(path):
            progress.line(f"{path}: damaged, or changed by hand; left out of what was asked")
            path.unlink()
    if not any(path.stem.endswith(f"-{name}") and path.exists() for path in there):
        number = max((int(path.stem.partition("-")[0]) for path in there), default=0) + 1
        write_text(folder / QUESTIONS / f"{number:03d}-{name}.yaml", content.decode())


def _archived(folder: Path) -> Iterator[Path]:
    """The files of what was asked, in the order of asking."""
    found = (folder / QUESTIONS).glob("*-????????.yaml")
    yield from sorted(path for path in found if path.stem.partition("-")[0].isdecimal())


def asked_before(folder: Path, recipe: Recipe, progress: Progress = SILENT) -> tuple[Recipe, ...]:
    """All recipes that the run was asked, in the order of asking, with ``recipe``, which is asked now, among them."""
    now = digest_of(_results(recipe))[:8]
    found: list[Recipe] = []
    for path in _archived(folder):
        if path.stem.endswith(f"-{now}"):
            found.append(recipe)
            continue
        try:
            found.append(load_recipe(path, [], load_registry()))
        except RecipeError as error:
            progress.line(f"{path}: cannot be read any more ({error.problems[0]}); its results are not shown")
    return tuple(found) if recipe in found else (*found, recipe)


def asked_last(folder: Path) -> dict[str, Any] | None:
    """What was asked last, as plain data; None where that is not known any more."""
    paths = [folder / "recipe.yaml", *reversed(list(_archived(folder)))]
    return next((_plain_text(path) for path in paths if path.exists() and _is_as_written(path)), None)


def _results(recipe: Recipe) -> dict[str, Any]:
    """What identifies a question: the recipe without the parts that decide where and how fast it runs, but not what
    comes out, and without its name."""
    sections: dict[str, Any] = keyed(recipe)
    kept = {name: value for name, value in sections.items() if name not in (*_WHERE, "name")}
    kept["sample"] = {name: value for name, value in kept["sample"].items() if name not in _WHERE_OF_SAMPLE}
    return kept
