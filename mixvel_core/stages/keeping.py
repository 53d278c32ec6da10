"""Keeping the items of a shard: as a .npy file in the run folder, or as Parquet files there or elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from attrs import define, field

from mixvel_core.files import replacing
from mixvel_core.protocols import Streaming
from mixvel_core.stages.split import Part
from mixvel_core.stages.unit import Unit
from mixvel_core.store.manifest import STREAM, write_stream
from mixvel_core.store.writing import shard_writer


class Writer(Protocol):
    def write(self, block: np.ndarray, /) -> object:
        """Takes the next items."""
        ...


class Store(Protocol):
    """Where the items of one shard go. ``files``: those below the unit's folder, once they are written."""

    @property
    def files(self) -> Sequence[str]: ...

    def writer(self) -> AbstractContextManager[Writer]:
        """What takes the items; they are there when the block ends well."""
        ...


def store_of(part: Part, unit: Unit) -> Store:
    """Memory-mapped in the run folder, or as Parquet where the data ask for that.

    Elsewhere the shards of different recipes lie side by side, each below the key that the recipe gives the unit.
    """
    streaming = part.data.streaming
    if streaming is None:
        return _NumpyStore(part=part, folder=unit.folder)
    place = None if streaming.store is None else f"{streaming.store.rstrip('/')}/{unit.key}/{part.index}"
    return _ParquetStore(part=part, folder=unit.folder, streaming=streaming, place=place)


@define(kw_only=True)
class _NumpyStore:
    """A .npy file, in the order of rows."""

    part: Part
    folder: Path

    @property
    def files(self) -> Sequence[str]:
        return (f"{self.part.index}/items.npy",)

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        about = {
            "descr": np.lib.format.dtype_to_descr(self.part.items.dtype),
            "fortran_order": False,
            "shape": (self.part.count, *self.part.shape),
        }
        with replacing(self.folder / self.files[0]) as temporary, temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, about)
            yield _NumpyWriter(file=file)


@define(kw_only=True)
class _NumpyWriter:
    file: IO[bytes]

    def write(self, block: np.ndarray, /) -> None:
        self.file.write(block.tobytes())


@define(kw_only=True)
class _ParquetStore:
    """Parquet files in the shard's folder or at ``place``, and in the folder the list of them."""

    part: Part
    folder: Path
    streaming: Streaming
    place: str | None
    files: list[str] = field(factory=list, init=False)

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        home = self.folder / str(self.part.index)
        place = self.place or str(home)
        with shard_writer(place, self.part.shape, self.part.items.dtype, self.streaming.row_group) as writer:
            yield writer
        write_stream(home, self.place, writer.column, writer.files, self.streaming.window)
        listed = [] if self.place else [f"{self.part.index}/{file.name}" for file in writer.files]
        self.files.extend([*listed, f"{self.part.index}/{STREAM}"])
