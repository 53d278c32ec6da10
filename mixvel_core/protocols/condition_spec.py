"""ConditionSpec: one name that conditions of a data set have, with its null value. Free of torch until it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from mixvel_core.protocols.condition import Condition

CLASS = "class"
"""The name of the condition that is the label of a sample."""


@frozen(kw_only=True)
class ConditionSpec:
    """One named value c of every item: a class, or numbers such as an embedding.

    ``name``: what conditions call it. ``classes``: C, where it is a label in 0..C-1; 0 where it is numbers. ``shape``:
    of the numbers of one item; empty for a class. ``labels``: what classes 0, 1, ... are called, where they have names.
    """

    name: str
    classes: int = 0
    shape: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()

    def null(self) -> Tensor:
        """The value of no condition, (1, *shape): C, one beyond the labels, int64; of numbers, zeros, float32."""
        import torch

        return torch.tensor([self.classes]) if self.classes else torch.zeros(1, *self.shape)


def null_condition(specs: Sequence[ConditionSpec]) -> Condition | None:
    """The null condition, one row; None where there are no conditions."""
    from mixvel_core.protocols.condition import Condition

    return Condition(values={spec.name: spec.null() for spec in specs}) if specs else None
