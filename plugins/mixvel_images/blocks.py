"""Unfinished stores: blocks of images, each with a checksum in a journal, so that a killed preparation goes on.

What the journal says is believed only where the checksum agrees: after a power failure it may know of a block whose
pages never reached the disk.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, frozen

from mixvel_core.artifacts.files import read_json, write_json
from mixvel_core.errors import ArtifactError

_BYTES = 1 << 23
_MOST = 256


@frozen(kw_only=True)
class Block:
    """What came of images start..stop-1. ``failed``: image and reason. ``checksum``: of the items."""

    start: int
    stop: int
    failed: tuple[tuple[int, str], ...]
    cropped: int
    enlarged: int
    checksum: str


def checksum_of(items: np.ndarray) -> str:
    """BLAKE2b of the items of a block."""
    return hashlib.blake2b(np.ascontiguousarray(items).data, digest_size=16).hexdigest()


class Workbench:
    """A folder of unfinished work: ``items.npy`` of n images of one shape, and the journal of its blocks."""

    def __init__(self, folder: Path, count: int, shape: tuple[int, ...]) -> None:
        """Opens what was left of the same work, or begins anew."""
        self.folder = folder
        self.count = count
        self._journal = folder / "blocks.jsonl"
        plan = {"count": count, "shape": list(shape)}
        if _read(folder / "plan.json") != plan or not (folder / "items.npy").is_file():
            self._journal.unlink(missing_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            np.lib.format.open_memmap(folder / "items.npy", mode="w+", dtype=np.uint8, shape=(count, *shape)).flush()
            write_json(folder / "plan.json", plan)
        self.items = np.lib.format.open_memmap(folder / "items.npy", mode="r+")
        rows = max(1, min(_MOST, _BYTES // math.prod(shape)))
        self.bounds = [(start, min(count, start + rows)) for start in range(0, count, rows)]
        self.done = self._recall()

    def put(self, block: Block, items: np.ndarray) -> None:
        """Keeps a block."""
        self.items[block.start : block.stop] = items
        self.done[block.start] = block
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(block)) + "\n")

    def _recall(self) -> dict[int, Block]:
        """The blocks whose items are as the journal says, by their first image."""
        if not self._journal.exists():
            return {}
        bounds = set(self.bounds)
        found = {}
        for line in self._journal.read_text(encoding="utf-8").splitlines():
            block = _parsed(line)
            if block is not None and (block.start, block.stop) in bounds:
                found[block.start] = block
        return {
            start: block
            for start, block in found.items()
            if checksum_of(self.items[block.start : block.stop]) == block.checksum
        }


def _parsed(line: str) -> Block | None:
    """A block of the journal; None for a line that was being written when the process ended."""
    try:
        facts: dict[str, Any] = json.loads(line)
        facts["failed"] = tuple((int(i), str(reason)) for i, reason in facts["failed"])
        return Block(**facts)
    except (ValueError, TypeError, KeyError):
        return None


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except ArtifactError:
        return None
