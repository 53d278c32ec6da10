"""Pictures of items: images side by side in one, as PIL images and PNG files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from mixvel_core.artifacts.files import replacing
from mixvel_core.errors import UsageError
from mixvel_core.field.scale import to_float, to_uint8

GAP = 1
"""Pixels between two images and around all of them."""
GREY = 128
"""Their colour: neither the paper nor the ink of black-and-white data."""


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether items of this shape are pictures: (C, H, W) with one or three channels."""
    return len(shape) == 3 and shape[0] in (1, 3)


def grid(images: np.ndarray, columns: int, scale: int = 1) -> Image.Image:
    """Images side by side, row after row; image i stands in row i // columns and column i % columns. What the last row
    leaves over is transparent.

    Args:
        images: (n, C, H, W) with n >= 1 and C = 1 or 3; floats in [-1, 1], clipped, or uint8.
        columns: at least 1; fewer are made where there are fewer images.
        scale: every pixel becomes a square of this many; nothing is smoothed.

    Raises:
        UsageError: the array is of another shape.
    """
    if images.ndim != 4 or not is_image(images.shape[1:]) or len(images) == 0:
        raise UsageError(f"an array of shape {images.shape} is no row of images; it must be (n, 1 or 3, H, W)")
    if columns < 1 or scale < 1:
        raise UsageError(f"columns and scale must be at least 1, not {columns} and {scale}")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    pixels = to_uint8(to_float(images)).transpose(0, 2, 3, 1).repeat(scale, axis=1).repeat(scale, axis=2)
    _, height, width, channels = pixels.shape
    canvas = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, channels), GREY, np.uint8)
    for i, image in enumerate(pixels):
        top, left = GAP + i // columns * (height + GAP), GAP + i % columns * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    made = Image.fromarray(canvas[:, :, 0] if channels == 1 else canvas)
    if left_over := rows * columns - len(images):
        seen = np.full(canvas.shape[:2], 255, np.uint8)
        seen[(rows - 1) * (height + GAP) + GAP :, (columns - left_over) * (width + GAP) + GAP :] = 0
        made.putalpha(Image.fromarray(seen))
    return made


def png(image: Image.Image) -> bytes:
    """The image as the bytes of a PNG file; the same image gives the same bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def save_png(image: Image.Image, path: Path) -> None:
    """Writes a PNG file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(png(image))
