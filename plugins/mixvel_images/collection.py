"""What a source hands over to be prepared: images that can be opened one by one, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from attrs import field, frozen
from PIL import Image


class Pictures(Protocol):
    """Images in a fixed order, opened from several threads at once."""

    @property
    def names(self) -> Sequence[str]:
        """How messages call each image."""
        ...

    def open(self, i: int) -> Image.Image:
        """Image i. Any exception says that it cannot be read."""
        ...


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
        ...

    def identity(self) -> Mapping[str, object]:
        """What the inputs are, as plain data, without reading them whole: another identity, another store.

        Raises DataError, naming the way to get them, where they are absent.
        """
        ...

    def collect(self) -> Collection:
        """The images and what is known of them. Raises DataError where they are absent or unusable."""
        ...
