"""Definition of the launcher ``ray``; nothing here imports ray or torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.protocols import Launcher
from mixvel_ray.options import RayOptions


def _ray(options: RayOptions) -> Launcher:
    from mixvel_ray.launcher import RayLauncher

    return RayLauncher(options=options)


def _example() -> Launcher:
    return _ray(RayOptions(device="cpu", local_cpus=1))


@hookimpl
def mixvel_launchers() -> Sequence[PluginDef[Any, Launcher]]:
    """ray."""
    return [
        PluginDef(
            kind="launcher",
            name="ray",
            options=RayOptions,
            build=_ray,
            example=_example,
            summary="trains each job with its own workers on a Ray cluster, started for the run if there is none",
        )
    ]
