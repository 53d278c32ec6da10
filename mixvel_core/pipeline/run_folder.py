"""Whose a run folder is: the resolved recipe lies in it, and no other recipe goes on there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from mixvel_core.artifacts.artifact import FORMAT
from mixvel_core.artifacts.files import digest, remove_unfinished, write_text
from mixvel_core.errors import ArtifactError, UsageError
from mixvel_core.machine import check_name
from mixvel_core.recipe.dump import diff, dump, to_plain
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.text import parse

_HEADER = f"# Written by `mixvel run`, format {FORMAT}: the recipe of this folder, with every option.\n"
"""What a run folder is known by. A folder with a recipe of its owner's making is none, and --fresh spares it."""

_HEADERS = re.compile(rb"# Written by `mixvel run`(?:, format (\d+))?: ")
"""Of all formats; the first one has no number."""

_CHECKSUM = "# Checksum of the lines below: "
"""One number that turned into another is still a recipe."""

_CHANGED = "damaged, or changed by hand, since `mixvel run` wrote it"
_LISTED = 8
_WHERE = ("launcher", "plan", "report", "study", "theory")
_WHERE_OF_SAMPLE = ("batch", "launcher", "resident_experts", "threads")


def check_folder(recipe: Recipe, folder: Path, fresh: bool) -> None:
    """Changes nothing.

    Raises UsageError where ``folder`` is no run, or cannot be one, or is that of another recipe and not ``fresh``.
    """
    check_name(folder)
    path = folder / "recipe.yaml"
    if not path.exists():
        others = sorted(p.name for p in folder.iterdir() if p.name != ".lock") if folder.exists() else []
        if others:
            raise UsageError(f"{folder}: holds files that are no run ({others[0]}, ...); choose another --out")
    elif (found := _format(path)) is None:
        raise UsageError(f"{path}: not written by `mixvel run`, or damaged; choose another --out, or remove {folder}")
    elif not fresh and found != FORMAT:
        raise UsageError(_of_another_format(folder, found))
    elif not fresh and not _is_as_written(path):
        raise UsageError(f"{path}: {_CHANGED}; put it back, choose another --out, or start over with --fresh")
    elif not fresh and (changed := _changes(recipe, path)):
        lines = "; ".join(changed[:_LISTED])
        more = f"; and {len(changed) - _LISTED} more" if len(changed) > _LISTED else ""
        raise UsageError(
            f"{folder}: made by another recipe ({lines}{more}); --fresh starts over, another --out keeps both"
        )


def check_recipe(folder: Path) -> None:
    """Raises UsageError where the run in ``folder`` is of another format, ArtifactError where its recipe is not as it
    was written."""
    path = folder / "recipe.yaml"
    if (found := _format(path)) is not None and found != FORMAT:
        raise UsageError(_of_another_format(folder, found))
    if not _is_as_written(path):
        raise ArtifactError(f"{path}: {_CHANGED}; put it back")


def _format(path: Path) -> int | None:
    """Of the run folder with this recipe; None where `mixvel run` did not write it."""
    found = _HEADERS.match(path.read_bytes())
    return None if found is None else int(found[1] or 1)


def _of_another_format(folder: Path, found: int) -> str:
    which = "an earlier" if found < FORMAT else "a later"
    return (
        f"{folder}: made by {which} mixvel (run folders of format {found}, here {FORMAT}); use that version for it, "
        "choose another --out, or start over with --fresh"
    )


def _is_as_written(path: Path) -> bool:
    content = path.read_bytes()
    return content == _as_written(content.split(b"\n", 2)[-1])


def _as_written(body: bytes) -> bytes:
    return f"{_HEADER}{_CHECKSUM}{digest([body])}\n".encode() + body


def begin(recipe: Recipe, folder: Path, fresh: bool = False) -> None:
    """Makes ``folder``, which is checked and locked, the recipe's own; if ``fresh``, throws away what is there."""
    path = folder / "recipe.yaml"
    remove_unfinished(folder)
    if fresh and path.exists():
        # The recipe last: without it the next run would take the rest for files of something else.
        for other in [p for p in folder.iterdir() if p.name not in (".lock", path.name)]:
            shutil.rmtree(other) if other.is_dir() and not other.is_symlink() else other.unlink()
        path.unlink()
    content = _as_written(dump(recipe).encode())
    if not path.exists() or path.read_bytes() != content:
        write_text(path, content.decode())


def _changes(recipe: Recipe, path: Path) -> list[str]:
    """What differs between the recipe at ``path`` and this one, apart from what changes no result."""
    try:
        old = parse(path.read_text(encoding="utf-8"), str(path)).value
    except UnicodeDecodeError:
        old = None
    if not isinstance(old, dict):
        raise UsageError(f"{path}: damaged; --fresh starts over, another --out keeps what is there")
    return diff(_results(old), _results(to_plain(recipe)))


def _results(plain: dict[str, Any]) -> dict[str, Any]:
    """A plain recipe without the parts that decide where and how fast it runs, but not what comes out."""
    kept = {name: value for name, value in plain.items() if name not in _WHERE}
    if isinstance(kept.get("sample"), dict):
        kept["sample"] = {name: value for name, value in kept["sample"].items() if name not in _WHERE_OF_SAMPLE}
    return kept
