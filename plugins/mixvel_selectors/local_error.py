"""How far off a cache may be: no further than the integrator itself is."""

from __future__ import annotations

from attrs import define, field
from torch import Tensor
from torch.linalg import vector_norm


@define(kw_only=True, eq=False)
class LocalError:
    """The second difference of M over the last three distinct times: what a second-order step cannot follow, (B,)."""

    _past: list[tuple[float, Tensor]] = field(factory=list)

    def see(self, t: float, M: Tensor) -> None:
        """M, (B, D), is the estimate at t; a second one at the same time replaces the first."""
        if self._past and self._past[-1][0] == t:
            self._past.pop()
        self._past = [*self._past[-2:], (t, M)]

    def size(self) -> Tensor | None:
        """||(M_n - M_{n-1}) - rho (M_{n-1} - M_{n-2})|| with rho the ratio of the steps; of two, the difference.

        None before there are two: a first step has no error to compare with.
        """
        if len(self._past) < 2:
            return None
        (t_1, M_1), (t, M) = self._past[-2:]
        if len(self._past) == 2:
            return _norm(M - M_1)
        t_2, M_2 = self._past[0]
        ratio = (t_1 - t) / (t_2 - t_1)
        return _norm((M - M_1) - ratio * (M_1 - M_2))


def _norm(difference: Tensor) -> Tensor:
    norm: Tensor = vector_norm(difference, dim=1)
    return norm.double()
