"""Definitions of the routers; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixvel_core.plugin.definition import NoOptions, PluginDef, hookimpl
from mixvel_core.protocols import RouterFamily
from mixvel_core.training.options import TrainOptions
from mixvel_routers.options import ANetworkOptions, ClassifierOptions, DaNetworkOptions

_TOY = {"channels": [8, 16], "layers_per_block": 1}
_TINY = TrainOptions(steps=2, batch=4, warmup=1, checkpoint_every=2)

ROUTERS: Sequence[PluginDef[Any, RouterFamily]] = (
    PluginDef(
        kind="router",
        name="a-network",
        options=ANetworkOptions,
        target="mixvel_routers.a_network:ANetworkFamily",
        example_options=ANetworkOptions(channels=(4, 8), width=8, depth=1, train=_TINY),
        smoke=_TOY,
        router_data=ClassifierOptions.router_data,
        summary="the posterior over experts, learned from noisy items and their exact posterior",
    ),
    PluginDef(
        kind="router",
        name="da-network",
        options=DaNetworkOptions,
        target="mixvel_routers.da_network:DaNetworkFamily",
        example_options=DaNetworkOptions(channels=(4, 8), width=8, depth=1, train=_TINY),
        smoke=_TOY,
        router_data=ClassifierOptions.router_data,
        summary="the posterior's rate, learned on intervals of times and integrated from the shards' fractions",
    ),
    PluginDef(
        kind="router",
        name="naive",
        options=ClassifierOptions,
        target="mixvel_routers.a_network:NaiveFamily",
        example_options=ClassifierOptions(channels=(4, 8), width=8, depth=1, train=_TINY),
        smoke=_TOY,
        router_data=ClassifierOptions.router_data,
        summary="all weight on the shard that a classifier of noisy items names",
    ),
    PluginDef(
        kind="router",
        name="fixed",
        options=NoOptions,
        target="mixvel_routers.fixed:FixedFamily",
        summary="the shards' fractions, whatever x and t",
    ),
)


@hookimpl
def mixvel_routers() -> Sequence[PluginDef[Any, RouterFamily]]:
    """The families of routers of this package."""
    return ROUTERS
