"""Images that a source opens one by one, and the form in which each becomes pixels (C, H, W) uint8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from attrs import field, frozen
from PIL import Image

from mixvel_core.data.conventions import Channels
from mixvel_core.data.decoding import NOTES, decoded, pixels_of
from mixvel_images.hooks import Filter

_FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}


@frozen(kw_only=True)
class Form:
    """What every image is brought to.

    ``resolution``: side of the square; its own size if None. ``channels``: 1, 3, or as many as all of them need.
    ``bits``: that 16-bit grey uses, of which the upper 8 are kept; 16 if None.
    """

    resolution: int | None = None
    filter: Filter = "lanczos"
    channels: Channels = 3
    bits: int | None = None

    @property
    def key(self) -> dict[str, object]:
        """What distinguishes the store of this form from those of others."""
        later: dict[str, object] = {} if self.channels == 3 else {"channels": self.channels}
        later |= {} if self.bits is None else {"bits": self.bits}
        return {"resolution": self.resolution, "filter": self.filter, **later}

    @property
    def text(self) -> str:
        """How images are scaled, for the report."""
        if self.resolution is None:
            return "none"
        return f"middle square, Pillow's {self.filter} with its support scaled (antialiased), reducing_gap none"


@frozen(kw_only=True, eq=False)
class Formed:
    """``pixels``: (C, H, W) uint8. ``notes``: of NOTED. ``highest``: the highest value of 16-bit grey, else 0."""

    pixels: np.ndarray
    notes: frozenset[str]
    highest: int


NOTED = NOTES | {"cropped": "were no squares", "enlarged": "were smaller"}
"""What is counted of images, and the words for it."""


def formed(image: Image.Image, form: Form, channels: int) -> Formed:
    """The image in a form, with ``channels`` 1 or 3. Raises ValueError or OSError where it cannot be read."""
    found = decoded(image, channels, form.bits)
    image, notes = found.image, set(found.notes)
    side = min(image.size)
    if form.resolution is not None:
        if image.width != image.height:
            notes.add("cropped")
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        if side < form.resolution:
            notes.add("enlarged")
        if side != form.resolution:
            image = image.resize((form.resolution,) * 2, _FILTERS[form.filter], reducing_gap=None)
    return Formed(pixels=pixels_of(image), notes=frozenset(notes), highest=found.highest)


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
