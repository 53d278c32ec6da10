"""finish: blocks to a store. What could not be read is left out and named; the last step is one rename."""

from __future__ import annotations

import hashlib
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np

from mixvel_core.errors import DataError
from mixvel_core.files import checksum
from mixvel_images.blocks import Workbench
from mixvel_images.collection import Collection
from mixvel_images.pixels import COLOURS, Form
from mixvel_images.store import Store, write_record


def finish(bench: Workbench, collection: Collection, form: Form, store: Store) -> None:
    """Brings finished work into place and clears the workbench away.

    Raises DataError where not one image could be read.
    """
    names = collection.pictures.names
    blocks = [bench.done[start] for start, _ in bench.bounds]
    failed = [failure for block in blocks for failure in block.failed]
    if len(failed) == bench.count:
        raise DataError(f"{names[0]}: cannot be read ({failed[0][1]}), nor can any of the {bench.count} images")
    kept = np.setdiff1d(np.arange(bench.count), [i for i, _ in failed])
    folder = store.folder.with_name(f"{store.folder.name}.finishing")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    files = _save(bench, kept, collection, folder)
    sums = [checksum(folder / name) for name in files]
    cropped, enlarged = sum(block.cropped for block in blocks), sum(block.enlarged for block in blocks)
    provenance = {
        **collection.provenance,
        "count": str(len(kept)),
        **({"classes": ", ".join(collection.label_names)} if collection.label_names else {}),
        "resolution": " x ".join(map(str, bench.items.shape[2:])),
        "scaling": form.text,
        **({"cropped": f"{cropped} images were no squares"} if cropped else {}),
        **({"enlarged": f"{enlarged} images were smaller"} if enlarged else {}),
        "colours": COLOURS,
        "hash": hashlib.blake2b("".join(sums).encode(), digest_size=16).hexdigest(),
        "prepared with": f"Pillow {version('pillow')}, NumPy {version('numpy')}",
    }
    write_record(
        folder,
        files,
        attributes=list(collection.attributes),
        label_names=list(collection.label_names),
        left_out=[[names[i], reason] for i, reason in failed],
        provenance=provenance,
    )
    folder.replace(store.folder)
    shutil.rmtree(bench.folder)


def _save(bench: Workbench, kept: np.ndarray, collection: Collection, folder: Path) -> list[str]:
    """The files of the store, by name; rows of images that could not be read are gone."""
    bench.items.flush()
    if len(kept) == bench.count:
        # Ended between here and the last step, the work begins anew: rarer, and cheaper, than a second copy.
        (bench.folder / "items.npy").rename(folder / "items.npy")
    else:
        shape = (len(kept), *bench.items.shape[1:])
        items = np.lib.format.open_memmap(folder / "items.npy", mode="w+", dtype=np.uint8, shape=shape)
        rows = bench.bounds[0][1]
        for start in range(0, len(kept), rows):
            items[start : start + rows] = bench.items[kept[start : start + rows]]
        items.flush()
    files = ["items.npy"]
    if collection.labels is not None:
        np.save(folder / "labels.npy", collection.labels[kept])
        files.append("labels.npy")
    if collection.attributes:
        np.save(folder / "attributes.npy", np.stack([values[kept] for values in collection.attributes.values()]))
        files.append("attributes.npy")
    return files
