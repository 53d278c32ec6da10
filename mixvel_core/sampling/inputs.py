"""Whether what a sampler is given is fit for it: points, and conditions that its experts and its router read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mixvel_core.errors import UsageError
from mixvel_core.protocols import Condition, ConditionalExpert, ConditionalRouter, Expert, Router


def read_names(part: Expert | Router) -> frozenset[str]:
    """The names of the conditions that an expert or a router reads; empty where it reads none."""
    kinds: tuple[Any, ...] = (ConditionalExpert, ConditionalRouter)
    null = part.null if isinstance(part, kinds) else None
    return frozenset() if null is None else null.names


def condition_of(
    condition: Condition | None, count: int, experts: Sequence[Expert], router: Router
) -> Condition | None:
    """The condition of ``count`` samples, a row each.

    Args:
        condition: of ``count`` rows, or of one, which is that of all samples; None: the null condition.
        count: of samples.
        experts: K of them.
        router: over them.

    Raises:
        UsageError: it has another number of rows, lacks a name that an expert or the router reads, or nobody reads any.
    """
    if condition is None:
        return None
    read = frozenset[str]().union(*map(read_names, experts), read_names(router))
    if not read:
        raise UsageError(
            f"a condition is given ({', '.join(sorted(condition.names))}), and neither experts nor router read any"
        )
    if missing := sorted(read - condition.names):
        raise UsageError(f"the condition lacks {', '.join(missing)}, which is read; it gives {_listed(condition)}")
    if len(condition) == count:
        return condition
    if len(condition) == 1:
        return condition.repeated(count)
    raise UsageError(f"the condition has {len(condition)} rows for {count} samples; give one for each, or one for all")


def check_points(x: object, shape: tuple[int, ...] | None, batch: int) -> None:
    """Raises UsageError where x are no points (n, *data) of ``shape`` *data, floating point and finite, or where
    ``batch`` is below 1."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        found = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise UsageError(
            f"points must be a floating-point tensor (n, *data), not {found}; of bytes give x.float() / 127.5 - 1, "
            "of an array torch.from_numpy(x)"
        )
    if x.ndim < 2 or len(x) < 1 or batch < 1:
        raise UsageError(
            f"there must be at least one point, (n, *data), and one in a batch, not {tuple(x.shape)} and {batch}"
        )
    if shape is not None and tuple(x.shape[1:]) != tuple(shape):
        raise UsageError(f"points of shape {tuple(x.shape[1:])} are given to a sampler of shape {shape}")
    if not bool(x.isfinite().all()):
        raise UsageError("points have values that are not finite; leave those out")


def _listed(condition: Condition) -> str:
    return ", ".join(sorted(condition.names))
