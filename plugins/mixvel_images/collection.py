"""Images that a source opens one by one, and the rules by which each becomes pixels (3, H, W) uint8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from attrs import field, frozen
from PIL import Image, ImageOps

from mixvel_images.hooks import Filter

_FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}

COLOURS = "RGB; grey thrice, palettes by their colours, alpha over white, 16-bit grey by its upper 8 bits"
"""The rule of ``to_rgb``, for the report."""


@frozen(kw_only=True)
class Form:
    """The size of every image: a square of ``resolution`` pixels, or its own if None."""

    resolution: int | None = None
    filter: Filter = "lanczos"

    @property
    def text(self) -> str:
        """How images are scaled, for the report."""
        if self.resolution is None:
            return "none"
        return f"middle square, Pillow's {self.filter} with its support scaled (antialiased), reducing_gap none"


@frozen(kw_only=True, eq=False)
class Formed:
    """``pixels``: (3, H, W) uint8. ``cropped``: what did not fit a square was cut off. ``enlarged``: it was smaller."""

    pixels: np.ndarray
    cropped: bool
    enlarged: bool


def formed(image: Image.Image, form: Form) -> Formed:
    """The image in a form. Raises ValueError or OSError where it cannot be read."""
    image = to_rgb(ImageOps.exif_transpose(image))
    side = min(image.size)
    cropped = enlarged = False
    if form.resolution is not None:
        cropped, enlarged = image.width != image.height, side < form.resolution
        if cropped:
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        if side != form.resolution:
            image = image.resize((form.resolution,) * 2, _FILTERS[form.filter], reducing_gap=None)
    return Formed(pixels=np.asarray(image).transpose(2, 0, 1), cropped=cropped, enlarged=enlarged)


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in RGB by the rule of COLOURS. Raises ValueError for modes without 8-bit colours."""
    if image.mode == "RGB":
        image.load()
        return image
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode} has no range that 8-bit colours could be taken from")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


class Pictures(Protocol):
    """Images in a fixed order, opened from several threads at once."""

    @property
    def names(self) -> Sequence[str]:
        """The name of each image, for messages."""

    def open(self, i: int) -> Image.Image:
        """Image i. Raises any exception where it cannot be read."""


@frozen(kw_only=True, eq=False)
class Collection:
    """``labels``: (n,) int64. ``attributes``: (n,) bool by name. ``label_names``: of label 0, 1, ..., where known."""

    pictures: Pictures
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    attributes: Mapping[str, np.ndarray] = field(factory=dict)
    provenance: Mapping[str, str] = field(factory=dict)


class Collector(Protocol):
    """A place that images come from, before they are looked at."""

    @property
    def name(self) -> str:
        """The name of the source; the stores of its data are called by it."""

    def identity(self) -> Mapping[str, object]:
        """What the inputs are, as plain data, without reading all of them: another identity, another store.

        Raises DataError, naming the way to get them, where they are absent.
        """

    def collect(self) -> Collection:
        """The images, labels and attributes. Raises DataError where they are absent or unusable."""
