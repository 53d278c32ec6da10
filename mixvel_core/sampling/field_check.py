"""Whether an evaluation of the field gave numbers, and who did not where it gave none."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

_OFF = 0.01
"""How far the sum of a row of weights may be from 1; bfloat16 is not exact."""


def near_one(sums: Tensor) -> Tensor:
    """Whether sums of weights, (B,), are those of a router, (B,) bool."""
    return (sums - 1.0).abs() < _OFF


@frozen(kw_only=True, eq=False)
class FieldCheck:
    """Whether evaluation ``call`` of the field, at time ``t``, gave numbers. All tensors are on the field's device.

    ``fine``: whether it did, () bool. ``sums``: of the router's weights, (B,). ``expert``: who was evaluated, (E,), and
    ``finite``: whether the result was, (E,) bool.
    """

    fine: Tensor
    sums: Tensor
    expert: Tensor
    finite: Tensor
    t: float
    call: int

    def culprit(self) -> str:
        """Who did not give numbers."""
        where = f"at t={self.t:.4g}, evaluation {self.call} of the field"
        # Experts first: the weights of a router that observes are made of what they returned.
        if not bool(self.finite.all()):
            return f"expert {int(self.expert[~self.finite][0])} returned values that are not finite {where}"
        if not bool(self.sums.isfinite().all()):
            return f"the router returned weights that are not finite {where}"
        if not bool(near_one(self.sums).all()):
            off = (self.sums - 1.0).abs()
            return f"the router returned weights whose sum is {float(self.sums[off.argmax()]):.3g}, not 1, {where}"
        return f"the selector returned values that are not finite {where}"
