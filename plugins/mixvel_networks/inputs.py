"""What networks are given besides x and t: one number for all labels, and one vector for all numbers of a condition."""

from __future__ import annotations

import math

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.errors import RecipeError
from mixvel_core.protocols import Condition, ConditionSpec
from mixvel_core.protocols.condition_spec import null_condition

MOST_LABELS = 1 << 20
"""Of all labels together: each has a vector of its own."""


@frozen(kw_only=True)
class NetworkInputs:
    """The label of a shard, where one network has them all, and a condition c.

    All labels together are one: with K shards and C classes it is k (C + 1) + c, in 0..K (C + 1) - 1, where the null
    class is C; so whatever network takes a label takes both. All numbers together are one vector; the null one is zero.
    Tokens, such as the embeddings of a text, (L, D), are a third input of networks that read them; the null ones are
    zero.

    ``shards``: K; None where a shard has a network of its own. ``conditions``: what c has.
    """

    shards: int | None = None
    conditions: tuple[ConditionSpec, ...] = ()

    @property
    def labels(self) -> int | None:
        """How many values the label has; None where there is none."""
        counts = [] if self.shards is None else [self.shards]
        counts += [spec.classes + 1 for spec in self.conditions if spec.classes]
        return None if not counts else math.prod(counts)

    @property
    def numbers(self) -> int:
        """The length of the vector; 0 where there is none."""
        return sum(math.prod(spec.shape) for spec in self.conditions if not spec.classes and len(spec.shape) < 2)

    @property
    def tokens(self) -> tuple[int, int] | None:
        """(L, D) of the condition that is a sequence of tokens; None where there is none."""
        return next(((spec.shape[0], spec.shape[1]) for spec in self.conditions if len(spec.shape) == 2), None)

    @property
    def null(self) -> Condition | None:
        """The null condition, one row; None where none is read."""
        return null_condition(self.conditions)

    def check(self, what: str, *, tokens: bool = False) -> None:
        """Raises RecipeError, naming ``what``, where a condition is no label, no vector and, if it reads ``tokens``, no
        single sequence of these; or labels are too many."""
        reads = "classes, vectors (D,) and tokens (L, D)" if tokens else "classes and vectors (D,)"
        for spec in self.conditions:
            if len(spec.shape) > (2 if tokens else 1):
                raise RecipeError(f"{what}: condition {spec.name} has values of shape {spec.shape}; it reads {reads}")
        if len(names := [spec.name for spec in self.conditions if len(spec.shape) == 2]) > 1:
            raise RecipeError(f"{what}: it reads one sequence of tokens, not {', '.join(names)}; join them")
        if (self.labels or 0) > MOST_LABELS:
            raise RecipeError(f"{what}: {self.labels} labels of all conditions together; at most {MOST_LABELS} work")

    def of(self, x: Tensor, shard: Tensor | None, condition: Condition | None) -> tuple[Tensor, ...]:
        """What the network is called with behind x and t: the label, (B,) int64, then the vector, (B, numbers), then
        tokens, (B, L, D); of each what there is.

        Args:
            x: points, (B, *data).
            shard: k, (B,) int64; None where a shard has a network of its own.
            condition: c, B rows; None for the null one.
        """
        label, numbers, tokens = shard, [], []
        for spec in self.conditions:
            value = _null_rows(spec, x) if condition is None else condition.values[spec.name].to(x.device)
            if spec.classes:
                label = value if label is None else label * (spec.classes + 1) + value
            elif len(spec.shape) == 2:
                tokens.append(value.reshape(len(x), *spec.shape).to(x.dtype))
            else:
                numbers.append(value.reshape(len(x), -1).to(x.dtype))
        given = () if label is None else (label,)
        return (*given, *((torch.cat(numbers, dim=1),) if numbers else ()), *tokens)


def _null_rows(spec: ConditionSpec, x: Tensor) -> Tensor:
    # Made where x is: a copy to a GPU would wait for what that computes.
    if spec.classes:
        return torch.full((len(x),), spec.classes, device=x.device)
    return x.new_zeros(len(x), math.prod(spec.shape))
