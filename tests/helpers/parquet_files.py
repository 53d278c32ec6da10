"""Parquet files as others write them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def save(path: Path | str, columns: Mapping[str, Any], rows: int = 4, filesystem: Any = None) -> str:
    """A file with row groups of ``rows`` rows; returns its path."""
    pq.write_table(pa.table(dict(columns)), str(path), row_group_size=rows, filesystem=filesystem)
    return str(path)


def raw(items: np.ndarray) -> pa.Array:
    """A column of the items' bytes."""
    return pa.array([item.tobytes() for item in items], pa.binary())


def pictures(items: np.ndarray) -> list[bytes]:
    """PNG files of images (n, C, H, W) uint8."""
    return [_png(item[0] if len(item) == 1 else np.moveaxis(item, 0, -1)) for item in items]


def structs(items: np.ndarray) -> pa.Array:
    """A column as Hugging Face writes images."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.array([{"bytes": file, "path": None} for file in pictures(items)], kind)


def _png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def images(count: int = 10, shape: tuple[int, ...] = (3, 4, 5), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)
