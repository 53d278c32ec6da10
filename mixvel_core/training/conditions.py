"""Conditions of a training's points: read with them, and dropped for the null one as a function of (seed, step, row).

What is trained without its condition learns the denoiser of the whole shard, which guidance compares with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.errors import DataError
from mixvel_core.protocols import Condition, ConditionedTask, ConditionSpec, Items, TrainTask
from mixvel_core.protocols.condition_spec import null_condition
from mixvel_core.randomness import key, uniform


@frozen(kw_only=True, eq=False)
class ConditionFeed:
    """The conditions c of a training's items. ``values``: by name, a row an item. ``null``: of no condition, one row.

    ``dropout``: share of the points that are trained on without. ``root``: the key of the coins.
    """

    specs: tuple[ConditionSpec, ...]
    values: Mapping[str, Items]
    null: Condition
    dropout: float
    root: int

    @classmethod
    def of(cls, name: str, task: TrainTask, seed: int) -> Self | None:
        """Of the training ``name``; None where its items have no conditions.

        Raises DataError, naming it, where there are more or fewer values than items.
        """
        specs = task.conditions if isinstance(task, ConditionedTask) else ()
        null = null_condition(specs)
        if null is None or not isinstance(task, ConditionedTask):
            return None
        values, count = task.condition_values(), len(task.items)
        for spec in specs:
            if len(values[spec.name]) != count:
                found = len(values[spec.name])
                raise DataError(f"{name}: condition {spec.name} has {found} values for {count} items; run it afresh")
        root, dropout = key(seed, "condition"), task.options.condition_dropout
        return cls(specs=specs, values=values, null=null, dropout=dropout, root=root)

    def at(self, chosen: np.ndarray) -> Condition:
        """The condition of each of the items ``chosen``, (B,) indices, on the CPU."""
        return Condition(values={spec.name: _rows(self.values[spec.name], spec, chosen) for spec in self.specs})

    def with_null(self, condition: Condition, index: Tensor, step: int) -> Condition:
        """The same, but the null one for the rows that a coin of each step and row says. ``index``: rows, (B,)."""
        kept = uniform(self.root, index, step) >= self.dropout
        return condition.where(kept, self.null.to(index.device))


def _rows(values: Items, spec: ConditionSpec, chosen: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values[chosen]).astype(np.int64 if spec.classes else np.float32))
