"""Precision and recall of samples (Kynkaanniemi et al. 2019): what share lies within the other set's neighbourhoods."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NEIGHBOURS = 3
ROWS = 2048
"""Rows of the table of distances held at a time."""


def precision_recall(samples: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Precision and recall of features ``samples`` (n, D) against ``reference`` (m, D), n, m > 3.

    A point is covered by a set if it lies no further from some member than that member's third nearest neighbour in
    the set. Precision is the share of samples that the reference covers, recall the share of the reference that the
    samples cover. Both grow with n and m, so they are comparable at equal counts only.
    """
    x, y = torch.from_numpy(samples), torch.from_numpy(reference)
    return _covered(x, y, _radii(y)), _covered(y, x, _radii(x))


def _radii(x: Tensor) -> Tensor:
    """The distance of each row from its third nearest neighbour among the others."""
    # One more: each row is its own nearest. Exact distances: the fast form cannot tell close points apart.
    parts = [_distances(block, x).kthvalue(NEIGHBOURS + 1, dim=1).values for block in torch.split(x, ROWS)]
    return torch.cat(parts)


def _covered(x: Tensor, members: Tensor, radii: Tensor) -> float:
    inside = [(_distances(block, members) <= radii).any(dim=1) for block in torch.split(x, ROWS)]
    return float(torch.cat(inside).double().mean())


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
