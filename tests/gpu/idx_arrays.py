"""Fashion-MNIST as arrays, for what is compared with a plain loop: no plugin of ours stands between file and array."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np


def images(folder: Path, part: str = "train") -> np.ndarray:
    """(n, 1, 32, 32) uint8, the 28x28 images with a black border. ``part``: train or t10k."""
    raw = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    count, height, width = np.frombuffer(raw, ">i4", 3, offset=4)
    pixels = np.frombuffer(raw, np.uint8, offset=16).reshape(count, 1, height, width)
    return np.pad(pixels, ((0, 0), (0, 0), (2, 2), (2, 2)))


def labels(folder: Path, part: str = "train") -> np.ndarray:
    """(n,) int64."""
    raw = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    return np.frombuffer(raw, np.uint8, offset=8).astype(np.int64)
