"""Picture files become pixels by one set of rules, wherever they lie: folders, zip files, Parquet columns, data sets.

Photographs are turned upright by their EXIF tag. Palettes become their colours, 16-bit grey its upper 8 bits, and what
is transparent lies over white. 32-bit and float pictures have no range that 8-bit colours could be taken from: refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cache

import numpy as np
from attrs import frozen
from PIL import Image, ImageOps, UnidentifiedImageError

from mixvel_core.data.conventions import Channels
from mixvel_core.errors import DataError

COLOURS = "palettes by their colours, alpha over white, 16-bit grey by its upper 8 bits"
"""The rules, for the report."""
_NO_PICTURES = frozenset(["BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"])
"""Formats that Pillow lists, and reads by other programs or as drawings."""
_FRAMES = frozenset(["GIF", "PNG", "TIFF", "WEBP"])
"""Formats in which a file may be a film or a stack. In others, as MPO, further pictures are previews."""
MOST_BITS = 16
_CLEARLY = 2
"""Bits by which 16-bit grey pictures are darker than they could be, all of them: such a data set was not meant."""


@cache
def suffixes() -> frozenset[str]:
    """The endings of the names of files that Pillow reads as pictures, in lower case, with their dots."""
    known = Image.registered_extensions()
    read = {suffix for suffix, form in known.items() if form in Image.OPEN and form not in _NO_PICTURES}
    return frozenset({*read, ".mpo"})  # opened as JPEG, and listed for writing only


@frozen(kw_only=True, eq=False)
class Decoded:
    """``image``: of mode L or RGB, upright. ``notes``: what was not plain in the file, of NOTES. ``highest``: the
    highest value of a 16-bit grey picture, 0 of others."""

    image: Image.Image
    notes: frozenset[str] = frozenset()
    highest: int = 0

    @property
    def pixels(self) -> np.ndarray:
        """(C, H, W) uint8."""
        return pixels_of(self.image)


NOTES = {
    "grey": "are grey, in three equal channels",
    "colour": "are coloured, in their brightness",
    "transparent": "have transparent pixels, over white",
    "16-bit": "are 16-bit grey",
    "frames": "hold several pictures, of which the first is read",
}
"""What is counted of pictures, and the words for it."""


def pixels_of(image: Image.Image) -> np.ndarray:
    """(C, H, W) uint8 of an image of mode L or RGB."""
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def is_grey(image: Image.Image) -> bool:
    """Whether an opened picture has no colours, by its mode alone: nothing is decoded."""
    return image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16")


def channels_of(channels: Channels, images: Iterable[Image.Image]) -> int:
    """1 or 3: as stated, or where it is "as-is", 1 where all ``images`` are grey and 3 from the first coloured one on.

    Images are looked at until one is coloured.
    """
    return channels if channels != "as-is" else 1 if all(map(is_grey, images)) else 3


def decoded(image: Image.Image, channels: int, bits: int | None = None) -> Decoded:
    """An opened picture as 8-bit grey or colour, by the rules of this module.

    Args:
        image: as ``PIL.Image.open`` gives it.
        channels: 1 or 3.
        bits: that 16-bit grey uses; None: 16.

    Raises:
        ValueError, OSError and what else Pillow's decoders raise: damaged, too large, or without 8-bit colours.
    """
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        count = image.width * image.height
        raise ValueError(f"Image size ({count} pixels) exceeds limit of {Image.MAX_IMAGE_PIXELS} pixels")
    notes = {"frames"} if image.format in _FRAMES and _has_more(image) else set()
    # Before the picture is turned, which may make another of a mode without its transparency.
    grey = is_grey(image)
    image = ImageOps.exif_transpose(image)
    highest = 0
    if image.mode.startswith("I;16"):
        notes.add("16-bit")
        levels = np.asarray(image, dtype=np.uint16)
        highest, used = int(levels.max(initial=0)), bits or MOST_BITS
        if highest >> used:
            raise ValueError(f"its 16-bit grey reaches {highest}, and `bits: {bits}` states less than {1 << used}")
        image = Image.fromarray((levels >> (used - 8)).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode} has no range that 8-bit colours could be taken from")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            notes.add("transparent")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if grey != (channels == 1):
        notes.add("grey" if grey else "colour")
    mode = "L" if channels == 1 else "RGB"
    if image.mode == mode:
        image.load()
    return Decoded(image=image if image.mode == mode else image.convert(mode), notes=frozenset(notes), highest=highest)


def decoded_file(file: bytes, channels: int, bits: int | None, where: str) -> Decoded:
    """The picture in the bytes of a file. Raises DataError, with ``where``, where it cannot be read."""
    try:
        return decoded(opened_file(file), channels, bits)
    except Exception as error:  # decoders of broken files raise anything; the user reads what it is
        raise DataError(f"{where} cannot be read ({' '.join(str(error).split()) or type(error).__name__})") from None


def opened_file(file: bytes) -> Image.Image:
    """The picture in the bytes of a file, decoded when its pixels are wanted. Raises what Pillow raises."""
    try:
        return Image.open(io.BytesIO(file))
    except UnidentifiedImageError:
        # Its own message names an object in memory.
        raise ValueError("no picture that Pillow reads" if file else "an empty file") from None


def is_dark(highest: int) -> bool:
    """Whether 16-bit grey pictures, whose highest value this is, would be nearly black in their upper 8 bits."""
    return highest.bit_length() <= MOST_BITS - _CLEARLY


def refuse_dark(highest: int, bits: int | None, where: str) -> None:
    """Raises DataError where the 16-bit grey pictures of a data set reach no higher than ``highest``, as those of a
    12-bit camera do, and the recipe does not state their bits. 0: there are none."""
    if bits is None and highest and is_dark(highest):
        raise DataError(
            f"{where}: 16-bit grey pictures reach {highest} of 65535 only, so that all would be nearly black; "
            f"add `bits: {max(highest.bit_length(), 9)}`, or `bits: 16` where they are so dark"
        )


def _has_more(image: Image.Image) -> bool:
    """Whether the file holds a second frame. The first one is the current one afterwards."""
    try:
        image.seek(1)
    except (EOFError, OSError, ValueError, SyntaxError):
        return False
    image.seek(0)
    return True
