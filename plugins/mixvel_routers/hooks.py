"""Definitions of the routers; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixvel_core.plugin.definition import NoOptions, PluginDef
from mixvel_core.plugin.specs import hookimpl
from mixvel_core.protocols import RouterFamily
from mixvel_core.training.options import TrainOptions
from mixvel_routers.options import ANetworkOptions


def _a_network(options: ANetworkOptions) -> RouterFamily:
    from mixvel_routers.a_network import ANetworkFamily

    return ANetworkFamily(options=options)


def _a_network_example() -> RouterFamily:
    train = TrainOptions(steps=2, batch=4, warmup=1, checkpoint_every=2)
    return _a_network(ANetworkOptions(channels=(4, 8), width=8, depth=1, train=train))


def _fixed(options: NoOptions) -> RouterFamily:
    from mixvel_routers.fixed import FixedFamily

    return FixedFamily()


def _fixed_example() -> RouterFamily:
    return _fixed(NoOptions())


@hookimpl
def mixvel_routers() -> Sequence[PluginDef[Any, RouterFamily]]:
    """a-network, fixed."""
    return [
        PluginDef(
            kind="router",
            name="a-network",
            options=ANetworkOptions,
            build=_a_network,
            example=_a_network_example,
            summary="the posterior over experts, learned by classifying noisy items",
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
