"""The digits that scikit-learn ships: real data that need no download."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from mixvel_core.protocols import Data

LARGEST = 16
"""Pixels are counts 0..16: how many points of a 4x4 block of the scan were ink."""


@frozen(kw_only=True)
class Digits:
    """1797 grey images of 8x8 pixels, labelled 0 to 9; or those of ``labels`` alone, in the same order."""

    labels: tuple[int, ...] | None = None

    def load(self) -> Data:
        """Items (n, 1, 8, 8), float32, -1 paper and 1 ink; labels the digits."""
        # Two seconds of import: paid when the data are wanted, not when a recipe is checked.
        from sklearn.datasets import load_digits

        bunch = load_digits()
        wanted = np.isin(bunch.target, range(10) if self.labels is None else self.labels)
        items = (bunch.images[wanted, None] * (2.0 / LARGEST) - 1.0).astype(np.float32)
        return Data(
            items=items,
            labels=bunch.target[wanted].astype(np.int64),
            provenance={
                "source": "scikit-learn's digits (test set of UCI's optical recognition of handwritten digits)",
                "count": str(len(items)),
                "scale": f"ink counts 0..{LARGEST} to -1..1",
            },
        )
