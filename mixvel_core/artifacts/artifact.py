"""Artifacts: cached outputs, each with a manifest of what it was made from and of its files.

An artifact is a folder, or some files of one, whose manifest ``done.json`` names the inputs (by a key) and every file
with size, time and checksum. The manifest is written last, so an artifact is there completely or not at all; running a
recipe again makes only what is missing. The key of an artifact downstream holds the digest of this one, of what it is
made from and of what was made: where it is made anew and comes out differently, so is everything that came from it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from mixvel_core.artifacts.files import (
    checksum,
    digest_of,
    named_in,
    read_checksummed_json,
    read_json,
    write_checksummed_json,
    write_json,
)
from mixvel_core.errors import ArtifactError
from mixvel_core.protocols import Progress

FORMAT = 2
"""Of run folders. Counts up when files of one change their name or meaning; folders of another format are refused."""

_STARTED = "started.json"
_NONSENSE = (ArtifactError, KeyError, AttributeError, TypeError)
"""What reading a manifest raises that was damaged, or written by whoever wants to do harm."""


def key_of(**inputs: Any) -> str:
    """A digest of everything an artifact is made from: options as plain data, and the keys of other artifacts."""
    return digest_of({"format": FORMAT, **inputs})


@frozen(kw_only=True)
class Artifact:
    """``folder``: where its files lie. ``key``: of its inputs. ``name``: its manifest is ``NAME.json`` there."""

    folder: Path
    key: str
    name: str = "done"

    @property
    def manifest(self) -> Path:
        """The file that is written last."""
        return self.folder / f"{self.name}.json"

    def is_done(self, *, verify: bool = False) -> bool:
        """Whether it was made from these inputs and every file is as it was written.

        A file of the size and the time of last change in the manifest is taken to be so; with ``verify``, and where
        the time is another, all bytes are read.
        """
        try:
            return self._is_of_these_inputs() and self._first_changed(verify) is None
        except _NONSENSE:
            return False

    def first_damaged(self, *, verify: bool = False) -> Path | None:
        """The first of its files that is not as it was written, looked at as by ``is_done``; None where all are, where
        it is not made yet, or made from other inputs."""
        try:
            if self.manifest.exists() and not isinstance(read_checksummed_json(self.manifest)["key"], str):
                return self.manifest
            return self._first_changed(verify) if self._is_of_these_inputs() else None
        except _NONSENSE:
            return self.manifest

    def recorded_key(self) -> str | None:
        """The key of what lies there, made or begun; None where nothing does, or its record is damaged."""
        for path, read in ((self.manifest, read_checksummed_json), (self.folder / _STARTED, read_json)):
            with suppress(*_NONSENSE):
                if path.exists() and isinstance(found := read(path)["key"], str):
                    return found
        return None

    def has_undamaged_files(self, *, verify: bool = False) -> bool:
        """Whether what lies there was made, from whatever inputs, and every file is as it was written, looked at as by
        ``is_done``."""
        try:
            return self.manifest.exists() and self._first_changed(verify) is None
        except _NONSENSE:
            return False

    def beside_others(self) -> Artifact:
        """The same artifact where it lies, or will lie: by its name, or by its name and a part of its key where what
        was made from other inputs has the name."""
        own = evolve(self, name=f"{self.name}-{self.key[:8]}")
        is_taken = self.manifest.exists() and self.recorded_key() not in (None, self.key)
        return own if own.manifest.exists() or is_taken else self

    def _is_of_these_inputs(self) -> bool:
        return self.manifest.exists() and bool(read_checksummed_json(self.manifest)["key"] == self.key)

    def _first_changed(self, verify: bool) -> Path | None:
        listed = read_checksummed_json(self.manifest)["files"].items()
        files = {named_in(self.folder, name): facts for name, facts in listed}
        return next((path for path, facts in files.items() if not _is_as_written(path, facts, verify)), None)

    def clear(self) -> None:
        """Removes the folder and all that is in it."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def start(self) -> None:
        """Before work that can go on where it stopped: keeps what is left of work on the same inputs, and removes what
        is left of other work."""
        started, about = self.folder / _STARTED, {"key": self.key}
        with suppress(ArtifactError):
            if read_json(started) == about:
                return
        self.clear()
        write_json(started, about)

    def commit(self, files: Sequence[str], **notes: Any) -> None:
        """Writes the manifest: ``files`` are its files, by name; ``notes`` are kept beside them."""
        facts = {name: _facts(self.folder / name, checksum(self.folder / name)) for name in files}
        write_checksummed_json(self.manifest, {"key": self.key, "files": facts, "notes": notes})

    def digest(self) -> str:
        """Of what it was made from and of every file. Raises ArtifactError where it is not done."""
        found = read_checksummed_json(self.manifest)
        contents = {name: [facts["size"], facts["checksum"]] for name, facts in found["files"].items()}
        return key_of(made_from=found["key"], files=contents)

    def notes(self) -> dict[str, Any]:
        """What ``commit`` kept beside the files. Raises ArtifactError where it is not done."""
        notes: dict[str, Any] = read_checksummed_json(self.manifest)["notes"]
        return notes

    def _record_times(self) -> None:
        """Files that were copied have new times; their sizes and checksums are those in the manifest."""
        found = read_checksummed_json(self.manifest)
        files = {name: _facts(self.folder / name, facts["checksum"]) for name, facts in found["files"].items()}
        if files != found["files"]:
            write_checksummed_json(self.manifest, {**found, "files": files})


def _facts(path: Path, digest: str) -> dict[str, Any]:
    found = path.stat()
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "checksum": digest}


def _is_as_written(path: Path, facts: Mapping[str, Any], verify: bool) -> bool:
    if not path.is_file() or (found := path.stat()).st_size != facts["size"]:
        return False
    if not verify and found.st_mtime_ns == facts["mtime_ns"]:
        return True
    return checksum(path) == str(facts["checksum"])


def report_damage(damaged: Iterable[Path | None], progress: Progress) -> None:
    """A line for each file of an artifact that was found damaged, and so is made again."""
    for path in damaged:
        if path is not None:
            progress.line(f"{path}: {'damaged' if path.exists() else 'missing'}; made again")


def check_bytes(folder: Path) -> None:
    """Reads all bytes of all artifacts below ``folder``. Raises ArtifactError naming the first damaged file."""
    for artifact in _artifacts_below(folder):
        if (damaged := artifact.first_damaged(verify=True)) is not None:
            raise ArtifactError(f"{damaged}: damaged; `mixvel run --verify` makes it again")


def discard_damaged(folder: Path, progress: Progress) -> None:
    """Reads all bytes of all artifacts below ``folder``, which is locked. Damaged ones are no longer done; of the
    others, the times of last change are recorded again, which differ where the folder was copied."""
    for artifact in _artifacts_below(folder):
        damaged = artifact.first_damaged(verify=True)
        report_damage([damaged], progress)
        if damaged is None:
            artifact._record_times()
        else:
            artifact.manifest.unlink()


def _artifacts_below(folder: Path) -> Iterator[Artifact]:
    for path in sorted(folder.rglob("*.json")):
        try:
            found = read_checksummed_json(path)
            artifact = Artifact(folder=path.parent, key=found["key"], name=path.stem)
        except _NONSENSE:
            continue  # No manifest; a damaged one is found whenever it is read.
        if {"files", "notes"} <= found.keys():
            yield artifact
