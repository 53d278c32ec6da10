"""Room: what a worker reserves, and how many jobs of such workers fit into a cluster.

Asked before anything starts, because Ray would wait without end for what no node has.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from attrs import frozen

from mixvel_core.errors import DataError, MixvelError, RecipeError
from mixvel_core.protocols import Job, Progress
from mixvel_core.training.loop import train
from mixvel_core.training.world import World
from mixvel_ray.hooks import RayOptions
from mixvel_ray.progress import Channel, Ended, Failed


@frozen(kw_only=True)
class Node:
    """A machine of the cluster: what it has in all, by the cluster's words for it (``CPU``, ``GPU``, ...)."""

    resources: Mapping[str, float]

    def holds(self, need: Mapping[str, float]) -> int:
        """How many workers that need this fit at once."""
        # A thousandth: Ray counts in ten-thousandths, and three times a third must fit into one.
        return int(min(self.resources.get(name, 0.0) / amount + 1e-3 for name, amount in need.items()))

    def __str__(self) -> str:
        return f"{self.resources.get('CPU', 0):g} CPU, {self.resources.get('GPU', 0):g} GPU"


@frozen(kw_only=True)
class Room:
    """``need``: what each of the ``workers`` of a job reserves, all amounts above 0."""

    workers: int
    need: Mapping[str, float]

    @property
    def gpus(self) -> float:
        """GPUs of each worker."""
        return self.need.get("GPU", 0.0)

    def jobs(self, nodes: Sequence[Node]) -> int:
        """How many jobs fit at once. Raises RecipeError where not even one does."""
        held = sum(node.holds(self.need) for node in nodes)
        if held < self.workers:
            each = ", ".join(f"{amount:g} {name}" for name, amount in self.need.items())
            have = "; ".join(map(str, nodes)) or "no nodes"
            raise RecipeError(
                f"launcher ray: a job needs {self.workers} workers of {each} each, and the cluster holds {held} "
                f"({have}); lower workers, cpus, gpus or resources, or add nodes"
            )
        return held // self.workers


def room_of(options: RayOptions, nodes: Sequence[Node]) -> Room:
    """What the options come to on these nodes. Raises RecipeError where a GPU is asked for and no node has one."""
    seen = any(node.resources.get("GPU", 0) > 0 for node in nodes)
    gpus = options.gpus
    if gpus is None:
        gpus = 1.0 if options.device == "cuda" or (options.device == "auto" and seen) else 0.0
    if gpus and not seen and not options.autoscaling:
        raise RecipeError("launcher ray: no node of the cluster has a GPU; use device auto or cpu and no gpus")
    need = {"CPU": options.cpus, "GPU": gpus, **options.resources}
    return Room(workers=options.workers, need={name: amount for name, amount in need.items() if amount > 0})


@frozen(kw_only=True)
class WorkerPlace:
    """Where a worker computes.

    ``home``: the driver's working folder, from where relative paths are read. ``token``: a file that the driver has put
    where the worker reads. ``threads``: of torch.
    """

    home: Path
    token: Path
    threads: int

    def enter(self, name: str, folder: Path) -> None:
        """Goes there. Raises DataError, naming ``name``, where this machine does not see ``folder``."""
        if self.home.is_dir():
            os.chdir(self.home)
        if not self.token.exists():
            raise DataError(
                f"{name}: {folder} is not seen by a worker on {socket.gethostname()}; "
                "put the run on storage that all nodes share (--out)"
            )
        torch.set_num_threads(self.threads)


@frozen(kw_only=True)
class Work(WorkerPlace):
    """The job that is sent to each worker. All of it is pickled."""

    job: Job

    def do(self, device: torch.device, world: World, progress: Progress, wire: Channel) -> None:
        """Trains. What no other worker would do better is sent to the driver before it is raised.

        Raises DataError where this machine does not see the run folder, and whatever ``train`` raises.
        """
        try:
            self.enter(self.job.name, self.job.folder)
            train(self.job, device=device, progress=progress, world=world)
        except KeyboardInterrupt:
            # The driver's wish; it waits for this answer and then ends us.
            wire.send([Ended(self.job.name)])
            if world.size > 1:
                # The others wait for us in the middle of their step: Ray is to end them too.
                raise
        except MixvelError as error:
            wire.send([Failed(self.job.name, error)])
            raise
        else:
            if world.leads:
                wire.send([Ended(self.job.name)])
