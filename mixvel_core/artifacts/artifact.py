"""Unit: a piece of finished work that knows what it was made from and whether it is still whole.

An artifact is a folder whose ``done.json`` names the inputs (by a key) and every file with size and checksum. It is
written last, so an artifact is there wholly or not at all; running a recipe again makes only what is missing. The key
of an artifact downstream holds the digest of this one, of what it is made from and of what was made: where it is made
anew and comes out differently, so is everything that came from it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from mixvel_core.artifacts.files import checksum, read_checksummed_json, read_json, write_checksummed_json, write_json
from mixvel_core.artifacts.untrusted import named_in
from mixvel_core.errors import ArtifactError
from mixvel_core.protocols import Progress

FORMAT = 1
"""Counts up when files of a run folder change their meaning; an artifact of another format is made again."""


def key_of(**inputs: Any) -> str:
    """A digest of everything an artifact is made from: options as plain data, and the keys of other artifacts."""
    text = json.dumps({"format": FORMAT, **inputs}, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _is_as_written(path: Path, facts: Mapping[str, Any]) -> bool:
    return path.is_file() and path.stat().st_size == facts["size"] and checksum(path) == facts["checksum"]


def report_damage(damaged: Iterable[Path | None], progress: Progress) -> None:
    """A line for each file of an artifact that was found damaged, and so is made again."""
    for path in damaged:
        if path is not None:
            progress.line(f"{path}: {'damaged' if path.exists() else 'missing'}; made again")


@frozen(kw_only=True)
class Artifact:
    """``folder``: where its files lie. ``key``: of its inputs. ``name``: what is called ``NAME.json`` there."""

    folder: Path
    key: str
    name: str = "done"

    @property
    def record(self) -> Path:
        """The file that says it is done."""
        return self.folder / f"{self.name}.json"

    def is_done(self) -> bool:
        """Whether it was made from these inputs and every file is as it was written."""
        try:
            return self._is_of_these_inputs() and self._first_changed() is None
        except (ArtifactError, KeyError, AttributeError, TypeError):
            return False

    def first_damaged(self) -> Path | None:
        """The first of its files that is not as it was written; None where it is whole, not made yet, or made from
        other inputs."""
        try:
            if self.record.exists() and not isinstance(read_checksummed_json(self.record)["key"], str):
                return self.record
            return self._first_changed() if self._is_of_these_inputs() else None
        except (ArtifactError, KeyError, AttributeError, TypeError):
            return self.record

    def _is_of_these_inputs(self) -> bool:
        return self.record.exists() and bool(read_checksummed_json(self.record)["key"] == self.key)

    def _first_changed(self) -> Path | None:
        files = {
            named_in(self.folder, name): facts for name, facts in read_checksummed_json(self.record)["files"].items()
        }
        return next((path for path, facts in files.items() if not _is_as_written(path, facts)), None)

    def clear(self) -> None:
        """Removes the folder and all that is in it."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def start(self) -> None:
        """For work that goes on where it stopped: keeps what was left of it, clears what was left of other work."""
        begun = self.folder / "begun.json"
        if not self._is_begun(begun):
            self.clear()
            write_json(begun, {"key": self.key})

    def _is_begun(self, begun: Path) -> bool:
        try:
            return bool(read_json(begun)["key"] == self.key)
        except (ArtifactError, KeyError, TypeError):
            return False

    def commit(self, files: Sequence[str], **notes: Any) -> None:
        """Says that it is done: ``files`` are its files, by name; ``notes`` are kept beside them."""
        facts = {
            name: {"size": (self.folder / name).stat().st_size, "checksum": checksum(self.folder / name)}
            for name in files
        }
        write_checksummed_json(self.record, {"key": self.key, "files": facts, "notes": notes})

    def digest(self) -> str:
        """Of what it was made from and of every file. Raises ArtifactError where the artifact is not done."""
        found = read_checksummed_json(self.record)
        return key_of(made_from=found["key"], files=found["files"])

    def notes(self) -> dict[str, Any]:
        """What ``commit`` kept. Raises ArtifactError where the artifact is not done."""
        notes: dict[str, Any] = read_checksummed_json(self.record)["notes"]
        return notes
