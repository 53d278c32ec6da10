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


def _a_network(options: ANetworkOptions) -> RouterFamily:
    from mixvel_routers.a_network import ANetworkFamily

    return ANetworkFamily(options=options)


def _a_network_example() -> RouterFamily:
    return _a_network(ANetworkOptions(channels=(4, 8), width=8, depth=1, train=_TINY))


def _da_network(options: DaNetworkOptions) -> RouterFamily:
    from mixvel_routers.da_network import DaNetworkFamily

    return DaNetworkFamily(options=options)


def _da_network_example() -> RouterFamily:
    return _da_network(DaNetworkOptions(channels=(4, 8), width=8, depth=1, train=_TINY))


def _naive(options: ClassifierOptions) -> RouterFamily:
    from mixvel_routers.a_network import NaiveFamily

    return NaiveFamily(options=options)


def _naive_example() -> RouterFamily:
    return _naive(ClassifierOptions(channels=(4, 8), width=8, depth=1, train=_TINY))


def _fixed(options: NoOptions) -> RouterFamily:
    from mixvel_routers.fixed import FixedFamily

    return FixedFamily()


def _fixed_example() -> RouterFamily:
    return _fixed(NoOptions())


@hookimpl
def mixvel_routers() -> Sequence[PluginDef[Any, RouterFamily]]:
    """a-network, da-network, naive, fixed."""
    return [
        PluginDef(
            kind="router",
            name="a-network",
            options=ANetworkOptions,
            build=_a_network,
            example=_a_network_example,
            smoke=_TOY,
            summary="the posterior over experts, learned from noisy items and their exact posterior",
        ),
        PluginDef(
            kind="router",
            name="da-network",
            options=DaNetworkOptions,
            build=_da_network,
            example=_da_network_example,
            smoke=_TOY,
            summary="the posterior's rate, learned on intervals of times and integrated from the shards' fractions",
        ),
        PluginDef(
            kind="router",
            name="naive",
            options=ClassifierOptions,
            build=_naive,
            example=_naive_example,
            smoke=_TOY,
            summary="all weight on the shard that a classifier of noisy items names",
        ),
        PluginDef(
            kind="router",
            name="fixed",
            options=NoOptions,
            build=_fixed,
            example=_fixed_example,
            summary="the shards' fractions, whatever x and t",
        ),
    ]
