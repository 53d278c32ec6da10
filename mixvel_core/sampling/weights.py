"""What may be done to the router's weights before a selector sees them: sharpen or flatten, and drop the faintest."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor


@frozen(kw_only=True)
class WeightTransform:
    """a -> a^(1/temperature), scaled to sum 1; then what is below ``floor`` is dropped, and scaled again.

    ``temperature`` > 0: 1 changes nothing, less sharpens, more flattens. ``floor`` in [0, 1): the likeliest expert is
    never dropped.
    """

    temperature: float = 1.0
    floor: float = 0.0

    def __call__(self, a: Tensor) -> Tensor:
        """The weights to select by, (B, K), rows on the simplex; the same tensor where nothing is to be done."""
        if self.temperature != 1.0:
            # Of the logarithm: powers of small weights underflow. Relative to the largest: 0 stays 0, however sharp.
            likely = a.double().log()
            a = ((likely - likely.amax(1, keepdim=True)) / self.temperature).softmax(1).to(a.dtype)
        if self.floor > 0.0:
            kept = a.masked_fill((a < self.floor) & (a < a.amax(1, keepdim=True)), 0.0)
            a = kept / kept.sum(1, keepdim=True)
        return a


AS_THEY_ARE = WeightTransform()
"""Weights as the router gives them."""
