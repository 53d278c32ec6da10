"""Plane: two coordinates in which vectors are looked at, the same ones for every set of them."""

from __future__ import annotations

import numpy as np
from attrs import frozen


@frozen(kw_only=True, eq=False)
class Plane:
    """``centre`` (D,), ``axes`` (D, 2) or, for D = 1, (D, 1). ``names``: of the coordinates."""

    centre: np.ndarray
    axes: np.ndarray
    names: tuple[str, ...]

    def of(self, items: np.ndarray) -> np.ndarray:
        """The coordinates of items (n, *data), (n, 2) or (n, 1)."""
        return np.asarray((items.reshape(len(items), -1) - self.centre) @ self.axes)


def plane_of(real: np.ndarray) -> Plane:
    """The first two coordinates of real items (n, *data), as they are up to two dimensions, principal ones beyond."""
    flat = real.reshape(len(real), -1).astype(np.float64)
    dimension = flat.shape[1]
    if dimension <= 2:
        names = tuple(f"coordinate {i}" for i in range(dimension))
        return Plane(centre=np.zeros(dimension), axes=np.eye(dimension), names=names)
    centre = flat.mean(axis=0)
    _, sizes, directions = np.linalg.svd(flat - centre, full_matrices=False)
    if len(directions) < 2:
        return Plane(centre=np.zeros(dimension), axes=np.eye(dimension)[:, :2], names=("coordinate 0", "coordinate 1"))
    axes = directions[:2].T
    # A principal direction has no sign of its own; its largest entry is made positive.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    shares = sizes[:2] ** 2 / max(float((sizes**2).sum()), np.finfo(float).tiny)
    names = tuple(f"principal component {i + 1} ({share:.0%} of variance)" for i, share in enumerate(shares))
    return Plane(centre=centre, axes=axes, names=names)
