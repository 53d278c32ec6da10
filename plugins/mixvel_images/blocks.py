"""Stores that are being made: blocks of images, each with a checksum in a journal, and the step that makes a store.

A block counts as done only where its checksum agrees with the journal: after a power failure the journal may hold a
block whose pages never reached the disk.
"""

from __future__ import annotations

import json
import math
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, frozen

from mixvel_core.artifacts.files import digest, read_json, write_json
from mixvel_core.data.decoding import COLOURS, refuse_dark
from mixvel_core.data.labels import class_counts
from mixvel_core.errors import ArtifactError, DataError
from mixvel_images.collection import NOTED, Collection, Form
from mixvel_images.store import RECORD, ImageStore, StoreRecord, contents_hash, times_of_change

_BYTES = 1 << 23
_MOST = 256


@frozen(kw_only=True)
class Block:
    """The outcome of images start..stop-1. ``failed``: image and reason. ``notes``: images of each of NOTED.
    ``highest``: value of 16-bit grey. ``checksum``: of the items."""

    start: int
    stop: int
    failed: tuple[tuple[int, str], ...]
    notes: dict[str, int]
    highest: int
    checksum: str


def checksum_of(items: np.ndarray) -> str:
    """The digest of the bytes of a block's items."""
    return digest([np.ascontiguousarray(items).data])


class Workbench:
    """A folder with ``items.npy`` of n images of one shape, and the journal of the blocks that are done."""

    def __init__(self, folder: Path, count: int, shape: tuple[int, ...]) -> None:
        """Opens what was left of the same preparation, or begins anew."""
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
        self.done = self._blocks_done()

    def put(self, block: Block, items: np.ndarray) -> None:
        """Writes the ``items`` of a block, and the block into the journal."""
        self.items[block.start : block.stop] = items
        self.done[block.start] = block
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(block)) + "\n")

    def _blocks_done(self) -> dict[int, Block]:
        """The blocks whose items have the checksum in the journal, by their first image. Those with images that could
        not be read are made again: by now they may be."""
        if not self._journal.exists():
            return {}
        bounds = set(self.bounds)
        journal = map(_parsed, self._journal.read_text(encoding="utf-8").splitlines())
        found = {b.start: b for b in journal if b is not None and (b.start, b.stop) in bounds and not b.failed}
        return {start: b for start, b in found.items() if checksum_of(self.items[start : b.stop]) == b.checksum}


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


def finish(bench: Workbench, collection: Collection, form: Form, store: ImageStore) -> None:
    """Makes the store of a workbench whose blocks are all done, by one rename, and removes the workbench.

    Raises DataError where not one image could be read, or all would be nearly black.
    """
    names = collection.pictures.names
    blocks = [bench.done[start] for start, _ in bench.bounds]
    failed = [failure for block in blocks for failure in block.failed]
    if len(failed) == bench.count:
        raise DataError(f"{names[0]}: cannot be read ({failed[0][1]}), nor can any of the {bench.count} images")
    refuse_dark(max(block.highest for block in blocks), form.bits, names[0])
    kept = np.setdiff1d(np.arange(bench.count), [i for i, _ in failed])
    folder = store.folder.with_name(f"{store.folder.name}.finishing")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    _save(bench, kept, collection, folder)
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    counts = {note: sum(block.notes.get(note, 0) for block in blocks) for note in NOTED}
    provenance = {
        **collection.provenance,
        "count": str(len(kept)),
        **_classes(collection, kept),
        "resolution": " x ".join(map(str, bench.items.shape[2:])),
        "channels": str(bench.items.shape[1]),
        "scaling": form.text,
        **{note: f"{count} images {NOTED[note]}" for note, count in counts.items() if count},
        "colours": COLOURS,
        "hash": contents_hash(folder, files),
        "prepared with": f"Pillow {version('pillow')}, NumPy {version('numpy')}",
    }
    record = StoreRecord(
        files=files,
        changed=times_of_change(folder, files),
        attributes=tuple(collection.attributes),
        label_names=collection.label_names,
        left_out=tuple((names[i], reason) for i, reason in failed),
        provenance=provenance,
    )
    write_json(folder / RECORD, asdict(record))
    folder.replace(store.folder)
    shutil.rmtree(bench.folder)


def _classes(collection: Collection, kept: np.ndarray) -> dict[str, str]:
    if collection.labels is None:
        return {}
    return {"classes": class_counts(collection.labels[kept], collection.label_names)}


def _save(bench: Workbench, kept: np.ndarray, collection: Collection, folder: Path) -> None:
    """Writes the arrays of the store, without the rows of images that could not be read."""
    bench.items.flush()
    if len(kept) == bench.count:
        # Killed between here and the rename, the preparation begins anew: rarer, and cheaper, than a second copy.
        (bench.folder / "items.npy").rename(folder / "items.npy")
    else:
        shape = (len(kept), *bench.items.shape[1:])
        items = np.lib.format.open_memmap(folder / "items.npy", mode="w+", dtype=np.uint8, shape=shape)
        rows = bench.bounds[0][1]
        for start in range(0, len(kept), rows):
            items[start : start + rows] = bench.items[kept[start : start + rows]]
        items.flush()
    if collection.labels is not None:
        np.save(folder / "labels.npy", collection.labels[kept])
    if collection.attributes:
        np.save(folder / "attributes.npy", np.stack([values[kept] for values in collection.attributes.values()]))
