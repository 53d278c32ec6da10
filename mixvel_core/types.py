"""Names for tensors, and the one convention of time.

**t = 0 is data, t = 1 is noise**, everywhere. ``x`` has shape ``(B, *data)``: a batch of B points whose
own shape ``*data`` is ``(C, H, W)`` for images and ``(D,)`` for vectors. There are K experts, index k.

The aliases below carry no checking; they say in a signature which shape is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    Points: TypeAlias = Tensor  # (B, *data), floating point
    Times: TypeAlias = Tensor  # (B,), the type of the points, values in [0, 1]
    Weights: TypeAlias = Tensor  # (B, K), rows on the probability simplex
    Mask: TypeAlias = Tensor  # (B, K), bool
    Indices: TypeAlias = Tensor  # (B,), int64
