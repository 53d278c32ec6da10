"""Whether what a sampler is given is fit for it: points, and conditions that its experts and its router read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mixvel_core.errors import UsageError
from mixvel_core.protocols import (
    CLASS,
    Condition,
    ConditionalExpert,
    ConditionalRouter,
    Expert,
    ExpertFamily,
    Guidance,
    Integrator,
    RandomIntegrator,
    Router,
    RouterFamily,
)


def null_of(part: Expert | Router) -> Condition | None:
    """The null condition of an expert or a router; None where it reads none."""
    kinds: tuple[Any, ...] = (ConditionalExpert, ConditionalRouter)
    null: Condition | None = part.null if isinstance(part, kinds) else None
    return null


def read_names(part: Expert | Router) -> frozenset[str]:
    """The names of the conditions that an expert or a router reads; empty where it reads none."""
    null = null_of(part)
    return frozenset() if null is None else null.names


def names_read(experts: Sequence[Expert], router: Router) -> frozenset[str]:
    """The names of the conditions that any of them reads."""
    return frozenset[str]().union(*map(read_names, experts), read_names(router))


def check_models(experts: Sequence[Expert], router: Router) -> None:
    """Raises UsageError where they are networks, or what ``build`` makes of experts and routers, which are ways to make
    them: the first mistake to make in Python."""
    if isinstance(router, RouterFamily):
        raise UsageError(
            "router: a family of routers, as build makes; `ready_router(NAME, experts=K, schedule=...)` makes a "
            "router without data, open_run(FOLDER).sampler(...) has those of a run"
        )
    given = experts if isinstance(experts, (list, tuple)) else ()
    networks = [one for one in given if isinstance(one, torch.nn.Module) and not hasattr(one, "denoise")]
    if networks or any(isinstance(one, ExpertFamily) for one in (experts, *given)):
        raise UsageError(
            "experts: networks, or families as build makes, and no experts; of a network, "
            "`mixvel_foreign.adapter.module_expert(net, prediction=..., schedule=...)` makes one"
        )


def condition_of(
    condition: Condition | None,
    count: int,
    experts: Sequence[Expert],
    router: Router,
    guidance: Guidance | None = None,
) -> Condition | None:
    """The condition of ``count`` samples, a row each.

    Args:
        condition: of ``count`` rows, or of one, which is that of all samples; None: the null condition.
        count: of samples.
        experts: K of them.
        router: over them.
        guidance: of the samples.

    Raises:
        UsageError: there is none, and a guidance would lead to one; or it has another number of rows, lacks a name that
            an expert or the router reads, or nobody reads any; or there is no such class.
    """
    read = names_read(experts, router)
    if condition is None:
        _check_guided(guidance, read)
        return None
    if not isinstance(condition, Condition):
        raise UsageError(
            f"the condition is {condition!r}, and no Condition; of a run, run.condition(3) makes one, else "
            "Condition(values={'class': tensor})"
        )
    if not read:
        raise UsageError(
            f"a condition is given ({', '.join(sorted(condition.names))}), and neither experts nor router read any"
        )
    if missing := sorted(read - condition.names):
        raise UsageError(f"the condition lacks {', '.join(missing)}, which is read; it gives {_listed(condition)}")
    condition = _with_classes(condition, [*experts, router])
    if len(condition) == count:
        return condition
    if len(condition) == 1:
        return condition.repeated(count)
    raise UsageError(f"the condition has {len(condition)} rows for {count} samples; give one for each, or one for all")


def is_random(integrator: Integrator) -> bool:
    """Whether it follows an SDE, so that no trajectory of it can be compared with one of the ODE."""
    return isinstance(integrator, RandomIntegrator) and integrator.is_random


def check_follows_ode(why: str, integrator: Integrator, stateful: str) -> None:
    """Raises UsageError where trajectories are none of an ODE; ``why`` they must be, ``stateful``: what carries a state
    along them, in words."""
    if is_random(integrator):
        raise UsageError(f"{why}, and the integrator follows an SDE; take one of the ODE, such as pc")
    if stateful:
        raise UsageError(
            f"{why}, but the {stateful} carries a state along each trajectory; take selector mixture and a router that "
            "is a function of x and t"
        )


def _check_guided(guidance: Guidance | None, read: frozenset[str]) -> None:
    """Raises UsageError where a guidance has no condition to lead to, whether models would ``read`` one or not."""
    if guidance is None:
        return
    if not read:
        raise UsageError("the sampler has a guidance, and neither experts nor router read a condition; take none")
    raise UsageError(
        "the sampler has a guidance, and no condition is given to lead to; give one, condition=run.condition({...}), "
        "or take guidance none"
    )


def _with_classes(condition: Condition, parts: Sequence[Expert | Router]) -> Condition:
    """The condition with classes as int64, in which C has a place whatever type they are of. Raises UsageError where a
    class is neither one of those that are read nor the null one, C."""
    nulls = [null.values[CLASS] for part in parts if (null := null_of(part)) is not None and CLASS in null.names]
    if not nulls or CLASS not in condition.names:
        return condition
    classes, C = condition.values[CLASS], int(nulls[0])
    if classes.is_floating_point() or classes.ndim != 1:
        raise UsageError(f"condition class: give whole numbers (B,), not {classes.dtype} {tuple(classes.shape)}")
    low, high = int(classes.min()), int(classes.max())
    if low < 0 or high > C:
        raise UsageError(f"there is no class {low if low < 0 else high}; classes are 0 to {C - 1}, and {C} is none")
    return Condition(values={**condition.values, CLASS: classes.long()})


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
