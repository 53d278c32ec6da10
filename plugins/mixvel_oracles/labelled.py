"""Exact conditional experts and routers: Gaussian mixtures whose components carry a class (D3 by class).

Of shard k with components j of weight w_j and class c_j:  p(x, c | k) = sum_{j: c_j = c} w_j N_j(x). From it follow the
denoiser under a class, m_k(x, t, c), the posterior p(k | x, c), proportional to pi_k p(x, c | k), and with all
components the null condition's. So guided flows have an exact answer.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from attrs import evolve, field, frozen
from torch import Tensor

from mixvel_core.protocols import CLASS, Condition, GaussianLaw, NoiseSchedule
from mixvel_oracles.denoisers import GaussianExpert, gaussian_expert


@frozen(kw_only=True, eq=False)
class LabelledExpert(GaussianExpert):
    """A Gaussian mixture's expert under the class of each row. ``labels``: of the components, (J,) int64 in 0..C-1.

    ``count``: C, which as a class is the null condition. ``classes``: of the rows, (B,) int64; None: all are null.
    A class that no component has leaves the denoiser as it is without one; the router gives the expert no weight then.
    """

    labels: Tensor
    count: int
    classes: Tensor | None = None
    null: Condition = field(init=False)

    @null.default
    def _no_class(self) -> Condition:
        return Condition(values={CLASS: torch.tensor([self.count])})

    def given(self, condition: Condition) -> Self:
        """The expert of ``condition.values["class"]``, (B,) int64."""
        return evolve(self, classes=condition.values[CLASS])

    def _parts(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        log_parts, m = super()._parts(x, t)
        if self.classes is None:
            return log_parts, m
        c = self.classes.to(x.device)[:, None]
        kept = (c == self.labels.to(x.device)) | (c == self.count)
        return log_parts.masked_fill(~kept, -torch.inf), m

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """m(x, t, c), (B, D)."""
        log_parts, m = self._parts(x, t)
        nowhere = (log_parts == -torch.inf).all(1, keepdim=True)
        if self.classes is not None and bool(nowhere.any()):
            everything, _ = super()._parts(x, t)
            log_parts = torch.where(nowhere, everything, log_parts)
        return torch.einsum("bj,bjd->bd", log_parts.softmax(-1), m)


@frozen(kw_only=True, eq=False)
class LabelledRouter:
    """p(k | x, t, c). ``experts``: K of them; ``fractions``: pi, (K,)."""

    experts: tuple[LabelledExpert, ...]
    fractions: tuple[float, ...]

    @property
    def null(self) -> Condition:
        """The null condition of the experts, one row."""
        return self.experts[0].null

    def given(self, condition: Condition) -> Self:
        """The router of a class, row by row. Where no shard has the class, it is the one without."""
        return evolve(self, experts=tuple(expert.given(condition) for expert in self.experts))

    def start(self, x: Tensor, t: Tensor) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        """a(x, t), (B, K)."""
        log_pi = torch.tensor(self.fractions, dtype=torch.float64).log().to(x)
        log_p = torch.stack([expert.log_density(x, t) for expert in self.experts], dim=1)
        nowhere = (log_p == -torch.inf).all(1, keepdim=True)
        if bool(nowhere.any()):
            without = [evolve(expert, classes=None) for expert in self.experts]
            log_p = torch.where(nowhere, torch.stack([one.log_density(x, t) for one in without], dim=1), log_p)
        return (log_p + log_pi).softmax(1), None


def labelled_expert(
    law: GaussianLaw, labels: np.ndarray, schedule: NoiseSchedule, count: int | None = None
) -> LabelledExpert:
    """The expert of ``law`` whose component j has the class ``labels[j]``, under ``schedule``.

    ``count``: C, of all shards' classes; None: one more than the largest label.
    """
    plain = gaussian_expert(law, schedule)
    return LabelledExpert(
        schedule=schedule,
        weights=plain.weights,
        means=plain.means,
        variances=plain.variances,
        axes=plain.axes,
        labels=torch.from_numpy(np.asarray(labels, dtype=np.int64)),
        count=int(labels.max()) + 1 if count is None else count,
    )
