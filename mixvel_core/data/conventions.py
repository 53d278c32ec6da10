"""Conventions that a file of numbers does not state: the order of axes, the range, the channels of pictures.

What the shape of an array contradicts, or leaves open, is refused with the line to add to the recipe; nothing is
guessed from a shape that two readings fit. Nothing here imports NumPy, so that options may be of these types.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from mixvel_core.errors import DataError
from mixvel_core.plugin.options import OptionCheck

Layout: TypeAlias = Literal["channels-first", "channels-last", "as-is"]
Range: TypeAlias = Literal["uint8", "as-is"] | tuple[float, ...]
"""The numbers that become -1 and 1: 0 and 255, a pair of others; or none, numbers stay as they are."""
Channels: TypeAlias = Literal["as-is", 1, 3]
"""Of pictures: grey only, colour only, or one channel where all pictures of a data set are grey and three otherwise."""

MOST_CHANNELS = 4
"""A last axis that is no longer, while all others are, holds channels: red, green, blue and alpha at most."""

RANGE_CHECK = OptionCheck(
    text="uint8, as-is, or two numbers, the lower first, as in [0, 1]",
    holds=lambda v: isinstance(v, str) or (len(v) == 2 and v[0] < v[1]),
)
RANGE_DOC = (
    "numbers in the file that become -1 and 1: uint8 (0 and 255), [0, 1], [-1, 1] or another pair; as-is: none; "
    "absent: bytes are uint8 and floats [-1, 1], refused where that is not clear"
)
LAYOUT_DOC = (
    "order of the axes of an image: channels-first, (C, H, W), refused where it looks like channels-last, (H, W, C); "
    "as-is: channels-first all the same"
)
CHANNELS_DOC = "channels of pictures: 1 (grey), 3 (colour), or as-is: 1 where all of them are grey, else 3"
BITS_DOC = "bits that 16-bit grey pictures use, as 12 for many cameras; absent: 16, refused where they use fewer"


def axes_of(shape: tuple[int, ...], layout: Layout, where: str) -> tuple[int, ...] | None:
    """How the axes of an item in a file become (C, H, W) or (D,).

    Args:
        shape: of one item: (D,), (H, W), (C, H, W) or (H, W, C).
        layout: as stated; "as-is" where the axes are in order, whatever it looks like.
        where: the file, for messages.

    Returns:
        The permutation of three axes; None where they are in order.

    Raises:
        DataError: the shape looks like the other layout, or like one image whose channels come last; with the line to
            add.
    """
    stored = f"items of shape {shape}"
    if len(shape) == 2 and layout != "as-is" and _is_last(shape):
        raise DataError(
            f"{where}: {stored} look like rows of one image (H, W, C), or like points; store images as (n, H, W, C), "
            f"or say `layout: as-is` where these are grey images of {shape[0]} x {shape[1]} pixels"
        )
    if len(shape) != 3:
        return None
    if layout == "channels-first" and _is_last(shape):
        raise DataError(
            f"{where}: {stored} look like (H, W, C); say `layout: channels-last`, or `layout: as-is` where "
            f"these are {shape[0]} channels of {shape[1]} x {shape[2]} pixels"
        )
    if layout == "channels-last" and _is_last(shape[::-1]) and not shape[-1] <= MOST_CHANNELS:
        raise DataError(f"{where}: {stored} look like (C, H, W), not (H, W, C); leave out `layout: channels-last`")
    return (2, 0, 1) if layout == "channels-last" else None


def _is_last(shape: tuple[int, ...]) -> bool:
    """Whether the last axis is as short as channels are, and every other one longer than that."""
    return shape[-1] <= MOST_CHANNELS and all(side > shape[-1] for side in shape[:-1])
