"""Definition of the launcher ``ray``; nothing here imports ray or torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixvel_core.plugin.definition import PluginDef, Workers, hookimpl
from mixvel_core.protocols import Launcher
from mixvel_ray.options import RayOptions


def _workers(options: RayOptions) -> Workers:
    reserved = {"CPU": options.cpus, "GPU": options.gpus or 0.0, **options.resources}
    return Workers(count=options.workers, parallel=options.parallel, reserved=reserved)


@hookimpl
def mixvel_launchers() -> Sequence[PluginDef[Any, Launcher]]:
    """The launchers of this package."""
    return (
        PluginDef(
            kind="launcher",
            name="ray",
            options=RayOptions,
            target="mixvel_ray.launcher:RayLauncher",
            example_options=RayOptions(device="cpu", local_cpus=1),
            workers=_workers,
            summary="trains each job with its own workers on a Ray cluster, started for the run if there is none",
        ),
    )
