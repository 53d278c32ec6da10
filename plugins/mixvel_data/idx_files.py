"""IDX files, the format of MNIST: two zero bytes, a type, the number of axes, their lengths, then the values.

Lengths are 32-bit, the highest byte first. A file may be packed by gzip. What a header gives is checked against the
size of the file before anything is read, and against what was read after it: a header may lie, and a download may stop.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from mixvel_core.errors import DataError

_UNSIGNED = 0x08
_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
_DENSEST = 1032
"""How many times its packed size a gzip file can unpack to; the deflate method cannot do more."""
_LARGEST = 1 << 33
"""Bytes of values; EMNIST, the largest of these data sets, has 0.6 GB."""


def read_idx(path: Path, axes: int) -> np.ndarray:
    """The array of unsigned bytes in an IDX file, packed (``.gz``) or not.

    Args:
        path: the file.
        axes: 3 for images (n, H, W), 1 for labels (n,).

    Raises:
        DataError: no such file, another format, type or number of axes, no values, or more or fewer values than the
            header gives; names the file.
    """
    packed = path.suffix == ".gz"
    try:
        size = path.stat().st_size
        with gzip.open(path) if packed else path.open("rb") as file:
            shape = _shape(file.read(4 + 4 * axes), axes, path)
            count = math.prod(shape)
            room = _DENSEST * size if packed else size - 4 - 4 * axes
            if count > min(room, _LARGEST):
                raise DataError(
                    f"{path}: its header gives {_text(shape)} values, more than the file can hold; {_AGAIN}"
                )
            # One more than there may be: then the end is reached, and gzip compares its checksum.
            content = file.read(count + 1)
    except FileNotFoundError:
        raise DataError(f"{path}: does not exist; put the file there or change `path`") from None
    except EOFError:
        raise DataError(f"{path}: is cut short, its gzip data end before they should; {_AGAIN}") from None
    except (OSError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read ({reason}); {_AGAIN}") from None
    if len(content) != count:
        held = f"{len(content)} values" if len(content) < count else "more values"
        raise DataError(f"{path}: holds {held}, and its header gives {_text(shape)}; {_AGAIN}")
    # A copy, because torch warns about arrays it could not write to, as those of bytes are.
    return np.frombuffer(content, np.uint8).reshape(shape).copy()


_AGAIN = "fetch it again"


def _shape(header: bytes, axes: int, path: Path) -> tuple[int, ...]:
    """The lengths of the axes. Raises DataError where this is no header of unsigned bytes with so many axes."""
    what = "images" if axes == 3 else "labels"
    if len(header) < 4 or header[:2] != b"\0\0" or header[2] not in _TYPES:
        raise DataError(f"{path}: no IDX file, it begins with {header[:4].hex(' ') or 'nothing'}; expected 00 00 08")
    if header[2] != _UNSIGNED:
        raise DataError(f"{path}: holds {_TYPES[header[2]]} values; {what} are unsigned bytes")
    if header[3] != axes:
        raise DataError(f"{path}: has {header[3]} axes; {what} have {axes}")
    if len(header) < 4 + 4 * axes:
        raise DataError(f"{path}: is cut short within its header; {_AGAIN}")
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4", offset=4))
    if 0 in shape:
        raise DataError(f"{path}: is empty, its header gives {_text(shape)}; {_AGAIN}")
    return shape


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
