"""What a class says of the shard before x is looked at, p(k | c), and what all routers share that read the class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from attrs import evolve, frozen
from torch import Tensor

from mixvel_core.data.conditions import class_spec
from mixvel_core.errors import UsageError
from mixvel_core.protocols import CLASS, Condition, RouterConfig

if TYPE_CHECKING:
    from collections.abc import Sequence


@frozen(kw_only=True, eq=False)
class ClassPrior:
    """p(k | c) = pi_k p(c | k) / sum_j pi_j p(c | j). ``table``: of the classes 0..C-1 and, in its last row, pi, which
    belongs to the null condition; (C + 1, K) float64."""

    table: Tensor

    @property
    def classes(self) -> int:
        """The number of classes, C."""
        return len(self.table) - 1

    def at(self, classes: Tensor) -> Tensor:
        """p(k | c) of each row, (B, K) float64, on the device of ``classes``, (B,) int64 in 0..C."""
        return self.table.to(classes.device)[classes]


def class_prior(config: RouterConfig) -> ClassPrior | None:
    """That of a router's configuration; None where items have no class.

    A class that no shard has says nothing, and so does any where an owner keeps the classes of a shard to itself: p(k |
    c) is pi then.
    """
    spec = class_spec(config.conditions)
    if spec is None:
        return None
    pi = normalised(config.fractions)
    joint = pi.new_zeros(spec.classes, len(pi))
    if config.class_fractions:
        joint = (pi[:, None] * torch.tensor(config.class_fractions, dtype=torch.float64)).T
    total = joint.sum(1, keepdim=True)
    known = torch.where(total > 0.0, joint / total, pi)
    return ClassPrior(table=torch.cat([known, pi[None]]))


def normalised(fractions: Sequence[float], device: torch.device | None = None) -> Tensor:
    """pi, (K,) float64: ``fractions`` divided by their sum."""
    pi = torch.tensor(fractions, dtype=torch.float64, device=device)
    return pi / pi.sum()


@frozen(kw_only=True, eq=False)
class ReadsClass:
    """What a router has that reads the condition ``class`` where items have one (``ConditionalRouter``).

    ``by_class``: None where they have none; then it reads nothing. ``classes``: of the points' rows, (B,) int64, C for
    the null condition; None: the null condition throughout.
    """

    by_class: ClassPrior | None = None
    classes: Tensor | None = None

    @property
    def null(self) -> Condition | None:
        """The null class C, one row; None where it reads no condition."""
        return None if self.by_class is None else Condition(values={CLASS: torch.tensor([self.by_class.classes])})

    def given(self, condition: Condition) -> Self:
        """The router of ``condition.values["class"]``, row by row. Raises UsageError for what is no class."""
        if self.by_class is None:
            return self
        return evolve(self, classes=checked_classes(condition.values[CLASS], self.by_class.classes))

    def rows_on(self, x: Tensor) -> Tensor | None:
        """The classes of the rows on the device of x, (B,); None for the null condition throughout."""
        return None if self.classes is None else self.classes.to(x.device)

    def prior_rows(self, x: Tensor) -> Tensor | None:
        """p(k | c) of each row, (B, K) float64 on the device of x; None without a condition."""
        if self.by_class is None or self.classes is None:
            return None
        return self.by_class.at(self.classes.to(x.device))


def checked_classes(classes: Tensor, C: int) -> Tensor:
    """``classes``, (B,). Raises UsageError where one is not in 0..C."""
    if classes.ndim != 1 or classes.is_floating_point() or classes.is_complex():
        raise UsageError(f"condition class: labels are whole numbers, (B,), not {classes.dtype} {tuple(classes.shape)}")
    wrong = classes[(classes < 0) | (classes > C)]
    if len(wrong):
        raise UsageError(f"condition class: there is no class {int(wrong[0])}; give 0 to {C - 1}, or {C} for none")
    return classes.long()
