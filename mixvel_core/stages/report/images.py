"""Pictures within the page."""

from __future__ import annotations

import base64

import numpy as np
from attrs import frozen

from mixvel_core.pictures import grid, png

SMALLEST = 24
"""Sides of an image on the page, in pixels: smaller ones are enlarged by a whole factor to at least this."""


@frozen(kw_only=True)
class Picture:
    """``source``: a data URI. ``width``: in CSS pixels."""

    source: str
    width: int


def picture(images: np.ndarray, columns: int) -> Picture:
    """Images (n, C, H, W) side by side."""
    made = grid(images, columns, scale=max(1, -(-SMALLEST // max(images.shape[2:]))))
    return Picture(source="data:image/png;base64," + base64.b64encode(png(made)).decode(), width=made.width)


def square(count: int) -> int:
    """The columns of a grid of ``count`` images that is about as wide as high."""
    return int(np.ceil(np.sqrt(count)))
