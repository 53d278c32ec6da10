"""The list of a shard's Parquet files: enough to plan a training from, without a look at the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import asdict

from mixvel_core.errors import ArtifactError
from mixvel_core.files import read_json, write_json
from mixvel_core.store.columns import RawColumn
from mixvel_core.store.parquet_items import ParquetItems
from mixvel_core.store.row_groups import RowGroup
from mixvel_core.store.writing import WrittenFile
from mixvel_core.strangers import named_in

STREAM = "stream.json"


def write_stream(folder: Path, place: str | None, column: RawColumn, files: Sequence[WrittenFile], window: int) -> None:
    """Lists ``files``, which lie at the URI ``place`` or, if None, in ``folder`` itself."""
    about = {
        "place": place,
        "column": column.name,
        "shape": list(column.stored),
        "type": column.kind,
        "window": window,
        "files": [asdict(file) for file in files],
    }
    write_json(folder / STREAM, about)


def read_stream(folder: Path) -> ParquetItems:
    """The items of the shard in ``folder``. Raises ArtifactError where the list is absent or damaged."""
    about = read_json(folder / STREAM)
    try:
        column = RawColumn(name=about["column"], stored=tuple(about["shape"]), kind=about["type"])
        groups = tuple(
            RowGroup(uri=f"{about['place'] or folder}/{name}", index=i, rows=rows)
            for file in about["files"]
            # The place may be anywhere; what is listed lies there.
            for name in [named_in(folder, file["name"]).relative_to(folder)]
            for i, rows in enumerate(file["groups"])
        )
        return ParquetItems(groups=groups, column=column, window=about["window"])
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{folder / STREAM}: damaged ({error}); remove it and run the recipe again") from None
