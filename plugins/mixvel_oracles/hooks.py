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
class BlurredOptions:
    """Options of the family ``blurred-mixture``."""

    blur: float = option(default=0.3, check=at_least(0), doc="width b of the noise that is added to every item")


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
    classes: int | None = option(
        default=None,
        before=None,
        check=at_least(1),
        doc="number C of classes: component j has class j mod C, which is the attribute `class` of its items; absent: "
        "none",
    )


@hookimpl
def mixvel_experts() -> Sequence[PluginDef[Any, ExpertFamily]]:
    """The families of experts of this package."""
    return (
        PluginDef(
            kind="expert",
            name="gaussian-mixture",
            options=NoOptions,
            target="mixvel_oracles.families:GaussianFamily",
            exact_for_laws=True,
            summary="exact denoiser of a shard whose law is a known Gaussian mixture (D3)",
        ),
        PluginDef(
            kind="expert",
            name="blurred-mixture",
            options=BlurredOptions,
            target="mixvel_oracles.families:BlurredFamily",
            summary="the same of a widened law: an expert that is wrong by a known amount, such as a weaker model",
        ),
        PluginDef(
            kind="expert",
            name="empirical",
            options=EmpiricalOptions,
            target="mixvel_oracles.families:EmpiricalFamily",
            example_options=EmpiricalOptions(bandwidth=0.1),
            summary="exact denoiser of the shard's items, with a kernel width (D2)",
        ),
    )


@hookimpl
def mixvel_routers() -> Sequence[PluginDef[Any, RouterFamily]]:
    """The families of routers of this package."""
    return (
        PluginDef(
            kind="router",
            name="oracle",
            options=EmpiricalOptions,
            target="mixvel_oracles.families:OracleRouterFamily",
            example_options=EmpiricalOptions(bandwidth=0.1),
            summary="exact posterior over shards, from their law (D3) or their items (D2)",
        ),
    )


@hookimpl
def mixvel_data() -> Sequence[PluginDef[Any, DataSource]]:
    """The data sources of this package."""
    return (
        PluginDef(
            kind="data",
            name="gaussian-mixture",
            options=MixtureOptions,
            target="mixvel_oracles.law:GaussianMixtureSource",
            example_options=MixtureOptions(components=3, dimension=2, count=60),
            summary="items drawn from a random Gaussian mixture, whose law goes with them",
        ),
    )
