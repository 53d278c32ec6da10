"""Definitions of foreign experts; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixvel_core.plugin.definition import ExpertUse, PluginDef, hookimpl
from mixvel_core.protocols import ExpertFamily, NoiseSchedule, RouterFamily
from mixvel_foreign.options import (
    AzulaOptions,
    DiffusersOptions,
    ForeignFolderOptions,
    ParisOptions,
    ParisRouterOptions,
    PerShardOptions,
    TorchModuleOptions,
)

_NETWORK, _DENOISER, _LOGITS = (f"mixvel_foreign.examples:{name}" for name in ("Shrink", "Denoiser", "Logits"))


# The folders of examples are written at the first call, not at import.
def _diffusers() -> Path:
    from mixvel_foreign.examples import diffusers_folder

    return diffusers_folder()


def _paris() -> Path:
    from mixvel_foreign.examples import paris_folder

    return paris_folder()


SCHEDULES: Sequence[PluginDef[Any, NoiseSchedule]] = (
    PluginDef(
        kind="schedule",
        name="diffusers",
        options=ForeignFolderOptions,
        target="mixvel_foreign.diffusers_family:folder_schedule",
        example=lambda: SCHEDULES[0].build(ForeignFolderOptions(path=_diffusers())),
        summary="the schedule of a diffusers folder, with the steps its scheduler takes (grid native)",
    ),
)

_EXAMPLE = TorchModuleOptions(module=_NETWORK, prediction="x0")
_TORCH_MODULE: PluginDef[TorchModuleOptions, ExpertFamily] = PluginDef(
    kind="expert",
    name="torch-module",
    options=TorchModuleOptions,
    target="mixvel_foreign.module_family:TorchModuleFamily",
    example_options=_EXAMPLE,
    summary="your own network by import path, its schedule and prediction declared",
)

EXPERTS: Sequence[PluginDef[Any, ExpertFamily]] = (
    PluginDef(
        kind="expert",
        name="diffusers",
        options=DiffusersOptions,
        target="mixvel_foreign.diffusers_family:DiffusersFamily",
        example=lambda: EXPERTS[0].build(DiffusersOptions(path=_diffusers())),
        summary="a UNet2DModel of a diffusers folder, under the schedule of its own training",
    ),
    _TORCH_MODULE,
    PluginDef(
        kind="expert",
        name="azula",
        options=AzulaOptions,
        target="mixvel_foreign.module_family:AzulaFamily",
        example_options=AzulaOptions(module=_DENOISER),
        summary="a denoiser of azula by import path, under its own schedule",
    ),
    PluginDef(
        kind="expert",
        name="paris",
        options=ParisOptions,
        target="mixvel_foreign.module_family:ParisFamily",
        example=lambda: EXPERTS[3].build(ParisOptions(path=_paris(), module=_NETWORK, prediction="x0")),
        summary="the experts of a Paris-style folder, their network given by import path",
    ),
    PluginDef(
        kind="expert",
        name="per-shard",
        options=PerShardOptions,
        target="mixvel_foreign.module_family:PerShardFamily",
        example_options=PerShardOptions(experts=(ExpertUse(definition=_TORCH_MODULE, options=_EXAMPLE),) * 3),
        summary="an expert of its own family for each shard",
    ),
)

ROUTERS: Sequence[PluginDef[Any, RouterFamily]] = (
    PluginDef(
        kind="router",
        name="paris",
        options=ParisRouterOptions,
        target="mixvel_foreign.paris_router:ParisRouterFamily",
        example=lambda: ROUTERS[0].build(ParisRouterOptions(path=_paris(), module=_LOGITS)),
        summary="the router of a Paris-style folder, its network given by import path",
    ),
)


@hookimpl
def mixvel_schedules() -> Sequence[PluginDef[Any, NoiseSchedule]]:
    """The noise schedules of this package."""
    return SCHEDULES


@hookimpl
def mixvel_experts() -> Sequence[PluginDef[Any, ExpertFamily]]:
    """The families of experts of this package."""
    return EXPERTS


@hookimpl
def mixvel_routers() -> Sequence[PluginDef[Any, RouterFamily]]:
    """The families of routers of this package."""
    return ROUTERS
