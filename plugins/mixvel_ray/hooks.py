"""Definition of the launcher ``ray``; nothing here imports ray or torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import frozen

from mixvel_core.plugin.definition import PluginDef, Workers, hookimpl
from mixvel_core.plugin.options import OptionCheck, above, at_least, option
from mixvel_core.protocols import Launcher

_AMOUNTS = OptionCheck(text="amounts above 0", holds=lambda v: all(amount > 0 for amount in v.values()))


@frozen(kw_only=True)
class RayOptions:
    """Options of ``ray``. Options with the names of those of ``local`` mean the same."""

    device: Literal["auto", "cpu", "cuda"] = option(
        default="auto", doc="where networks are trained; auto takes GPUs where the cluster has some"
    )
    threads: int | None = option(
        default=None, check=at_least(1), doc="threads of torch for each worker; absent: as many as its CPUs"
    )
    parallel: int | None = option(
        default=None, check=at_least(1), doc="most jobs at once; absent: as many as the cluster holds"
    )
    workers: int = option(default=1, check=at_least(1), doc="workers of each job; they share every batch evenly")
    cpus: float = option(default=1, check=above(0), doc="CPUs that each worker reserves")
    gpus: float | None = option(
        default=None, check=at_least(0), doc="GPUs that each worker reserves; absent: one, where the device is a GPU"
    )
    resources: Mapping[str, float] = option(
        factory=dict, check=_AMOUNTS, doc="what else each worker reserves, in the cluster's words, as in {A100: 0.01}"
    )
    address: str | None = option(
        default=None, doc="a Ray cluster that is running; absent: RAY_ADDRESS, or a cluster on this machine for the run"
    )
    local_cpus: int | None = option(
        default=None, check=at_least(1), doc="CPUs of the cluster on this machine; absent: the machine's"
    )
    max_failures: int = option(
        default=3, check=at_least(0), doc="workers lost, for each job, that are replaced before it is given up"
    )
    autoscaling: bool = option(
        default=False, doc="the cluster grows on demand: jobs wait for what it does not have yet"
    )
    verbose: bool = option(default=False, doc="let Ray say what it does")

    def __attrs_post_init__(self) -> None:
        if self.device == "cpu" and self.gpus:
            raise ValueError("gpus: device is cpu; leave one of them out")
        if self.device == "cuda" and self.gpus == 0:
            raise ValueError("gpus: device is cuda, which takes some")


def _workers(options: RayOptions) -> Workers:
    reserved = {"CPU": options.cpus, "GPU": options.gpus or 0.0, **options.resources}
    return Workers(
        count=options.workers,
        parallel=options.parallel,
        reserved=reserved,
        check=lambda: _check_cluster(options.address),
    )


def _check_cluster(address: str | None) -> None:
    """Raises RecipeError where the cluster of the options, or of RAY_ADDRESS, does not answer."""
    from mixvel_ray.probe import check_answers

    if wanted := address or os.environ.get("RAY_ADDRESS"):
        check_answers(wanted)


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
