"""Definitions of foreign experts; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixvel_core.plugin.definition import ExpertUse, PluginDef, hookimpl
from mixvel_core.protocols import ExpertFamily, NoiseSchedule, RouterFamily
from mixvel_foreign.options import (
    AzulaOptions,
    DiffusersOptions,
    ForeignFolderOptions,
    ParisOptions,
    ParisRouterOptions,
    PerShardOptions,
    Predicting,
    TorchModuleOptions,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mixvel_foreign.module_family import Read

_NETWORK, _DENOISER, _LOGITS = (f"mixvel_foreign.examples:{name}" for name in ("Shrink", "Denoiser", "Logits"))


def _schedule(options: ForeignFolderOptions) -> NoiseSchedule:
    from mixvel_foreign.diffusers_family import scheduler_file
    from mixvel_foreign.scheduler import training_of
    from mixvel_foreign.tensor_files import read_json_of

    path = scheduler_file(options.path, None)
    return training_of(read_json_of(path), str(path)).schedule


def _diffusers(options: DiffusersOptions) -> ExpertFamily:
    from mixvel_foreign.diffusers_family import DiffusersFamily

    return DiffusersFamily(options=options)


def _declared(options: Predicting) -> Callable[[object, NoiseSchedule], Read]:
    """How a network is read whose options declare it."""
    from mixvel_foreign.azula import TimeConvention
    from mixvel_foreign.module_family import Read

    own = options.schedule.build() if options.schedule is not None else None
    told = TimeConvention(time=options.time, length=options.length, rounded=options.timesteps == "rounded")

    def read(network: object, schedule: NoiseSchedule) -> Read:
        return Read(schedule=own or schedule, told=told, prediction=options.prediction)

    return read


def _torch_module(options: TorchModuleOptions) -> ExpertFamily:
    from mixvel_foreign.module_family import ModuleFamily

    return ModuleFamily(
        name="torch-module", made=options, weights=options.weights, clip=options.clip, read=_declared(options)
    )


def _paris(options: ParisOptions) -> ExpertFamily:
    from mixvel_foreign.module_family import ModuleFamily

    weights = options.path / "expert_{k}"
    return ModuleFamily(name="paris", made=options, weights=weights, clip=options.clip, read=_declared(options))


def _azula(options: AzulaOptions) -> ExpertFamily:
    from mixvel_foreign.azula import TimeConvention, schedule_of
    from mixvel_foreign.module_family import ModuleFamily, Read

    def read(network: object, schedule: NoiseSchedule) -> Read:
        return Read(
            schedule=schedule_of(network, "expert azula"),
            told=TimeConvention(time="unit", length=1, rounded=False),
            prediction="x0",
            mean=True,
        )

    return ModuleFamily(name="azula", made=options, weights=options.weights, clip=options.clip, read=read)


def _per_shard(options: PerShardOptions) -> ExpertFamily:
    from mixvel_foreign.module_family import PerShardFamily

    return PerShardFamily(families=tuple(use.build() for use in options.experts))


def _router(options: ParisRouterOptions) -> RouterFamily:
    from mixvel_foreign.paris_router import ParisRouterFamily

    own = options.schedule.build() if options.schedule is not None else None
    return ParisRouterFamily(options=options, own=own)


def _folder() -> Path:
    from mixvel_foreign.examples import diffusers_folder

    return diffusers_folder()


def _paris_folder() -> Path:
    from mixvel_foreign.examples import paris_folder

    return paris_folder()


_EXAMPLE = TorchModuleOptions(module=_NETWORK, prediction="x0")
_TORCH_MODULE: PluginDef[Any, ExpertFamily] = PluginDef(
    kind="expert",
    name="torch-module",
    options=TorchModuleOptions,
    build=_torch_module,
    example=lambda: _torch_module(_EXAMPLE),
    summary="your own network by import path, its schedule and prediction declared",
)


@hookimpl
def mixvel_schedules() -> Sequence[PluginDef[Any, NoiseSchedule]]:
    """diffusers."""
    return (
        PluginDef(
            kind="schedule",
            name="diffusers",
            options=ForeignFolderOptions,
            build=_schedule,
            example=lambda: _schedule(ForeignFolderOptions(path=_folder())),
            summary="the schedule of a diffusers folder, with the steps its scheduler takes (grid native)",
        ),
    )


@hookimpl
def mixvel_experts() -> Sequence[PluginDef[Any, ExpertFamily]]:
    """diffusers, torch-module, azula, paris, per-shard."""
    return (
        PluginDef(
            kind="expert",
            name="diffusers",
            options=DiffusersOptions,
            build=_diffusers,
            example=lambda: _diffusers(DiffusersOptions(path=_folder())),
            summary="a UNet2DModel of a diffusers folder, under the schedule of its own training",
        ),
        _TORCH_MODULE,
        PluginDef(
            kind="expert",
            name="azula",
            options=AzulaOptions,
            build=_azula,
            example=lambda: _azula(AzulaOptions(module=_DENOISER)),
            summary="a denoiser of azula by import path, under its own schedule",
        ),
        PluginDef(
            kind="expert",
            name="paris",
            options=ParisOptions,
            build=_paris,
            example=lambda: _paris(ParisOptions(path=_paris_folder(), module=_NETWORK, prediction="x0")),
            summary="the experts of a Paris-style folder, their network given by import path",
        ),
        PluginDef(
            kind="expert",
            name="per-shard",
            options=PerShardOptions,
            build=_per_shard,
            example=lambda: _per_shard(
                PerShardOptions(experts=(ExpertUse(definition=_TORCH_MODULE, options=_EXAMPLE),) * 3)
            ),
            summary="an expert of its own family for each shard",
        ),
    )


@hookimpl
def mixvel_routers() -> Sequence[PluginDef[Any, RouterFamily]]:
    """paris."""
    return (
        PluginDef(
            kind="router",
            name="paris",
            options=ParisRouterOptions,
            build=_router,
            example=lambda: _router(ParisRouterOptions(path=_paris_folder(), module=_LOGITS)),
            summary="the router of a Paris-style folder, its network given by import path",
        ),
    )
