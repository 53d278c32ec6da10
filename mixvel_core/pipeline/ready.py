"""Routers for Python without a recipe: those that need no data, ready for a sampler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mixvel_core.errors import AbsentError, DataError, UsageError
from mixvel_core.pipeline.shards import CheckpointShard
from mixvel_core.protocols import NoiseSchedule, Router, RouterConfig
from mixvel_core.recipe.build import build


def ready_router(
    name: str,
    options: Mapping[str, object] | None = None,
    *,
    experts: int | Sequence[float],
    schedule: NoiseSchedule,
    shape: tuple[int, ...] = (),
) -> Router:
    """A router that needs no data, ``ready_router("fixed", experts=3, schedule=schedule)``, as a ``Sampler`` takes it.

    Args:
        name: the plugin's name, ``fixed`` or ``experts`` for example.
        options: its options as a recipe would write them.
        experts: K, or the K weights of the prior pi, which are divided by their sum.
        schedule: the sampler's.
        shape: ``*data`` of one item, for routers that ask for it.

    Returns:
        The router of K experts.

    Raises:
        PluginError, RecipeError: there is no such plugin, or its options are wrong.
        AbsentError: what its options name is not there.
        UsageError: it is trained or fitted, and so belongs to a run; or ``experts`` are none.
    """
    weights = [1.0] * experts if isinstance(experts, int) else [float(weight) for weight in experts]
    if not weights or min(weights) <= 0:
        raise UsageError(f"experts={experts}: give their number, or a weight above 0 for each")
    pi = tuple(weight / sum(weights) for weight in weights)
    family = build("router", name, options)
    parts = [
        CheckpointShard(folder=Path("no data"), index=k, count=0, fraction=fraction, shape=shape)
        for k, fraction in enumerate(pi)
    ]
    try:
        trained = bool(family.tasks(parts, schedule))
        tensors = {} if trained else family.tensors(parts, {})
    except AbsentError:
        raise
    except DataError:
        trained = True
    if trained:
        raise UsageError(
            f"router {name} with these options is made from data; take it from a run, "
            '`open_run(FOLDER).sampler(router=...)`, or take `fixed`, or `experts` with {"prior": "none", '
            '"second_moment": "probe"}, which need none'
        )
    return family.load(RouterConfig(fractions=pi, shape=shape), tensors, schedule)
