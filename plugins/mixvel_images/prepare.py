"""The preparation of a store: images are decoded in threads, block after block, and a killed preparation goes on."""

from __future__ import annotations

import shutil
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from mixvel_core.artifacts.files import digest_of
from mixvel_core.artifacts.lock import locked
from mixvel_core.data.decoding import channels_of
from mixvel_core.data.row_groups import one_line
from mixvel_core.errors import DataError
from mixvel_core.machine import usable_cpus
from mixvel_core.protocols import Progress
from mixvel_images.blocks import Block, Workbench, checksum_of, finish
from mixvel_images.collection import Collector, Form, Pictures, formed
from mixvel_images.store import ImageStore

FORMAT = 1
"""Counts up when a store of the same inputs would hold other values."""
_MOST_THREADS = 16


def store_of(collector: Collector, form: Form, home: Path) -> ImageStore:
    """The store of these inputs in this form, made or not. Raises DataError where the inputs are absent."""
    contents = {"format": FORMAT, "inputs": dict(collector.identity()), "form": form.key}
    return ImageStore(folder=home / f"{collector.name}-{digest_of(contents)[:16]}")


def prepare(collector: Collector, form: Form, home: Path, progress: Progress) -> ImageStore:
    """The store in the folder ``home``, made where it is not there yet; its record names images that cannot be read.

    These are tried again each time: where one can be read by now, and where the record is lost, the store is made anew.

    Raises DataError for no inputs, images of several sizes and no resolution, no readable image, or a full disk.
    """
    store = store_of(collector, form, home)
    if not _is_ready(store, collector, form):
        workbench = store.folder.with_name(f"{store.folder.name}.unfinished")
        with locked(workbench, wait=progress.line, cure="set MIXVEL_DATA or `store` to a folder that can be"):
            # Another process may have made it while this one waited.
            if not _is_ready(store, collector, form):
                shutil.rmtree(store.folder, ignore_errors=True)
                _make(collector, form, store, workbench, progress)
        with suppress(OSError):
            # Left empty by a process that waited; where it is missing or in use, nothing is to be done.
            workbench.rmdir()
    return store


def _is_ready(store: ImageStore, collector: Collector, form: Form) -> bool:
    """Whether the store is there, and no image that was left out can be read by now."""
    if not store.is_there:
        return False
    left_out = {name for name, _ in store.record().left_out}
    if not left_out:
        return True
    pictures = collector.collect().pictures
    failed = [i for i, name in enumerate(pictures.names) if name in left_out]
    return not any(_is_readable(pictures, form, i) for i in failed)


def _is_readable(pictures: Pictures, form: Form, index: int) -> bool:
    try:
        formed(pictures.open(index), form, 3)
    except Exception:  # any reason, as when its block is made
        return False
    return True


def _make(collector: Collector, form: Form, store: ImageStore, workbench: Path, progress: Progress) -> None:
    collection = collector.collect()
    count = len(collection.pictures.names)
    # Filters of warnings hold for all threads, so they are set around them and not within.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        # Such an image would unpack to far too many pixels; what else Pillow remarks is of no use here.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        shape = _shape(collection.pictures, form)
        size, free = count * int(np.prod(shape)), shutil.disk_usage(store.folder.parent).free
        if free < size:
            raise DataError(
                f"{store.folder.parent}: the prepared images take {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are "
                "free; free some space, or set MIXVEL_DATA or `store` to another folder"
            )
        bench = Workbench(workbench, count, shape)
        with progress.task(f"prepare {collector.name}", count, "images") as bar:
            bar.update(done := sum(block.stop - block.start for block in bench.done.values()))
            for block, items in _formed_blocks(bench, collection.pictures, form):
                bench.put(block, items)
                bar.update(done := done + len(items))
    finish(bench, collection, form, store)
    progress.line(f"prepare {collector.name}: {store.folder}")


def _shape(pictures: Pictures, form: Form) -> tuple[int, ...]:
    """(C, H, W) of every image. Raises DataError where none can be read."""
    first: list[Exception] = []
    channels = channels_of(form.channels, _opened(pictures, first))
    if form.resolution is not None:
        return channels, form.resolution, form.resolution
    for image in _opened(pictures, first):
        # Any reason: where others can be read it is named when its block is made.
        try:
            return formed(image, form, channels).pixels.shape
        except Exception as error:
            first.append(error)
    why = one_line(first[0]) if first else "for no reason that is known"
    raise DataError(
        f"{pictures.names[0]}: cannot be read ({why}), nor can any of the {len(pictures.names)} images; give images "
        "that Pillow reads, PNG or JPEG for example"
    )


def _opened(pictures: Pictures, failed: list[Exception]) -> Iterator[Image.Image]:
    """The images that can be opened, in order; why others cannot is added to ``failed``."""
    for i in range(len(pictures.names)):
        try:
            image = pictures.open(i)
        except Exception as error:  # decoders of broken files raise anything
            failed.append(error)
        else:
            yield image


def _formed_blocks(bench: Workbench, pictures: Pictures, form: Form) -> Iterator[tuple[Block, np.ndarray]]:
    """The blocks that are left, in order; a few are made ahead of the one that is waited for."""
    left = deque(bounds for bounds in bench.bounds if bounds[0] not in bench.done)
    workers = min(_MOST_THREADS, usable_cpus())
    shape = bench.items.shape[1:]
    running: deque[Future[tuple[Block, np.ndarray]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="prepare") as pool:
        try:
            while left or running:
                while left and len(running) < 2 * workers:
                    running.append(pool.submit(_form_block, pictures, form, shape, *left.popleft()))
                yield running.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _form_block(
    pictures: Pictures, form: Form, shape: tuple[int, ...], start: int, stop: int
) -> tuple[Block, np.ndarray]:
    items = np.zeros((stop - start, *shape), np.uint8)
    failed = []
    notes: Counter[str] = Counter()
    highest = 0
    for i in range(start, stop):
        try:
            made = formed(pictures.open(i), form, shape[0])
        except Exception as error:  # decoders of broken files raise anything; the user reads what it is
            failed.append((i, " ".join(str(error).split()) or type(error).__name__))
            continue
        if made.pixels.shape != shape:
            raise DataError(
                f"{pictures.names[i]}: has {_size(made.pixels.shape)} pixels, and the first image {_size(shape)}; "
                "set `resolution` to bring all to one size"
            )
        items[i - start] = made.pixels
        notes.update(made.notes)
        highest = max(highest, made.highest)
    block = Block(
        start=start,
        stop=stop,
        failed=tuple(failed),
        notes=dict(notes),
        highest=highest,
        checksum=checksum_of(items),
    )
    return block, items


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[2]} x {shape[1]}"
