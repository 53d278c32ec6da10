"""Definitions of the oracles; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from mixvel_core.plugin.definition import NoOptions, PluginDef, hookimpl
from mixvel_core.plugin.options import above, at_least, option
from mixvel_core.protocols import DataSource, ExpertFamily, RouterFamily


@frozen(kw_only=True)
class EmpiricalOptions:
    """Options of ``empirical`` and of ``oracle``."""

    bandwidth: float = option(
        default=0.0, check=at_least(0), doc="width b of the Gaussian put on each item; 0 memorises the items"
    )


@frozen(kw_only=True)
class MixtureOptions:
    """Options of the data source ``gaussian-mixture``."""

    components: int = option(default=8, check=at_least(1), doc="number J of components")
    dimension: int = option(default=16, check=at_least(1), doc="dimension D")
    count: int = option(default=2048, check=at_least(1), doc="items drawn")
    seed: int = option(default=0, check=at_least(0), doc="seed of the law and of the items")
    spread: float = option(default=1.0, check=above(0), doc="standard deviation of the means' coordinates")
    width: float = option(default=0.3, check=above(0), doc="typical standard deviation of a component")
    anisotropic: bool = option(default=True, doc="random axes and widths for each component")


def _gaussian(options: NoOptions) -> ExpertFamily:
    from mixvel_oracles.families import GaussianFamily

    return GaussianFamily()


def _empirical(options: EmpiricalOptions) -> ExpertFamily:
    from mixvel_oracles.families import EmpiricalFamily

    return EmpiricalFamily(bandwidth=options.bandwidth)


def _oracle(options: EmpiricalOptions) -> RouterFamily:
    from mixvel_oracles.families import OracleRouterFamily

    return OracleRouterFamily(bandwidth=options.bandwidth)


def _mixture(options: MixtureOptions) -> DataSource:
    from mixvel_oracles.law import GaussianMixtureSource

    return GaussianMixtureSource(
        components=options.components,
        dimension=options.dimension,
        count=options.count,
        seed=options.seed,
        spread=options.spread,
        width=options.width,
        anisotropic=options.anisotropic,
    )


@hookimpl
def mixvel_experts() -> Sequence[PluginDef[Any, ExpertFamily]]:
    """gaussian-mixture, empirical."""
    return (
        PluginDef(
            kind="expert",
            name="gaussian-mixture",
            options=NoOptions,
            build=_gaussian,
            example=lambda: _gaussian(NoOptions()),
            summary="exact denoiser of a shard whose law is a known Gaussian mixture (D3)",
        ),
        PluginDef(
            kind="expert",
            name="empirical",
            options=EmpiricalOptions,
            build=_empirical,
            example=lambda: _empirical(EmpiricalOptions(bandwidth=0.1)),
            summary="exact denoiser of the shard's items, with a kernel width (D2)",
        ),
    )


@hookimpl
def mixvel_routers() -> Sequence[PluginDef[Any, RouterFamily]]:
    """oracle."""
    return (
        PluginDef(
            kind="router",
            name="oracle",
            options=EmpiricalOptions,
            build=_oracle,
            example=lambda: _oracle(EmpiricalOptions(bandwidth=0.1)),
            summary="exact posterior over shards, from their law (D3) or their items (D2)",
        ),
    )


@hookimpl
def mixvel_data() -> Sequence[PluginDef[Any, DataSource]]:
    """gaussian-mixture."""
    return (
        PluginDef(
            kind="data",
            name="gaussian-mixture",
            options=MixtureOptions,
            build=_mixture,
            example=lambda: _mixture(MixtureOptions(components=3, dimension=2, count=60)),
            summary="items drawn from a random Gaussian mixture, whose law goes with them",
        ),
    )
