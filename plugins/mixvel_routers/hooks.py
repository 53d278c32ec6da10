"""Definitions of the routers; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.protocols import RouterFamily
from mixvel_core.training.options import TrainOptions
from mixvel_routers.closed_form_options import ExpertsOptions, FixedOptions, MomentsOptions, NoiseLevelsOptions
from mixvel_routers.options import ANetworkOptions, ClassifierOptions, DaNetworkOptions, DiTRouterOptions

_TINY = TrainOptions(steps=2, batch=4, warmup=1, checkpoint_every=2)

_LEARNED = (
    (
        "a-network",
        ANetworkOptions,
        "a_family:ANetworkFamily",
        lambda options: 1,
        "the posterior over experts, learned from noisy items and their exact posterior",
    ),
    (
        "da-network",
        DaNetworkOptions,
        "da_family:DaNetworkFamily",
        DaNetworkOptions.networks_a_step,
        "the posterior's rate, learned and integrated from the shards' fractions, and perhaps corrected by a posterior",
    ),
    (
        "naive",
        ClassifierOptions,
        "a_network:NaiveFamily",
        lambda options: 1,
        "all weight on the shard that a classifier of noisy items names",
    ),
)


@hookimpl
def mixvel_routers() -> Sequence[PluginDef[Any, RouterFamily]]:
    """The families of routers of this package."""
    fixed = PluginDef[Any, RouterFamily](
        kind="router",
        name="fixed",
        options=FixedOptions,
        target="mixvel_routers.fixed:FixedFamily",
        summary="the shards' fractions or given weights, whatever x and t",
    )
    learned = [
        PluginDef[Any, RouterFamily](
            kind="router",
            name=name,
            options=options,
            target=f"mixvel_routers.{target}",
            example_options=options(channels=(4, 8), width=8, depth=1, train=_TINY),
            smoke={"channels": [8, 16]},
            router_data=ClassifierOptions.router_data,
            beside=ClassifierOptions.beside,
            networks_a_step=networks,
            loss_changes=options.loss_changes,
            summary=summary,
        )
        for name, options, target, networks, summary in _LEARNED
    ]
    moments = PluginDef[Any, RouterFamily](
        kind="router",
        name="moments",
        options=MomentsOptions,
        target="mixvel_routers.moments:MomentsFamily",
        summary="the posterior of shards taken for Gaussians, in closed form; no training",
    )
    experts = PluginDef[Any, RouterFamily](
        kind="router",
        name="experts",
        options=ExpertsOptions,
        target="mixvel_routers.experts:ExpertsFamily",
        observes=True,
        summary="the posterior from the experts' own answers along the trajectory; no training",
    )
    noise_levels = PluginDef[Any, RouterFamily](
        kind="router",
        name="noise-levels",
        options=NoiseLevelsOptions,
        target="mixvel_routers.noise_levels:NoiseLevelsFamily",
        example_options=NoiseLevelsOptions(boundaries=(0.3, 0.7), width=0.1),
        at_levels=NoiseLevelsOptions.at_levels,
        summary="weights by the time alone, for experts that part the time axis",
    )
    dit = PluginDef[Any, RouterFamily](
        kind="router",
        name="dit",
        options=DiTRouterOptions,
        target="mixvel_routers.a_family:DiTRouterFamily",
        example_options=DiTRouterOptions(patch=1, width=8, depth=1, heads=2, train=_TINY),
        smoke={"width": 16, "depth": 1, "heads": 2},
        router_data=DiTRouterOptions.router_data,
        loss_changes=DiTRouterOptions.loss_changes,
        summary="the posterior over experts by a transformer of patches, learned as that of a-network",
    )
    return [*learned, dit, fixed, moments, experts, noise_levels]
