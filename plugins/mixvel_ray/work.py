"""Work: one job as one worker does it. The training itself is the one of every launcher."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import torch
from attrs import frozen

from mixvel_core.errors import DataError, MixvelError
from mixvel_core.protocols import Job, Progress
from mixvel_core.training.loop import train
from mixvel_core.training.world import World
from mixvel_ray.mailbox import Ended, Failed
from mixvel_ray.report import Wire


@frozen(kw_only=True)
class Work:
    """What is sent to each worker. All of it is pickled.

    ``home``: the driver's working folder, from where relative paths are read. ``token``: a file in the job's folder
    that the driver has put there.
    """

    job: Job
    home: Path
    token: Path
    threads: int

    def do(self, device: torch.device, world: World, progress: Progress, wire: Wire) -> None:
        """Trains. What no other worker would do better is told the driver before it is raised.

        Raises DataError where this machine does not see the run folder, and whatever ``train`` raises.
        """
        try:
            if self.home.is_dir():
                os.chdir(self.home)
            if not self.token.exists():
                raise DataError(
                    f"{self.job.name}: {self.job.folder} is not seen by a worker on {socket.gethostname()}; "
                    "put the run on storage that all nodes share (--out)"
                )
            torch.set_num_threads(self.threads)
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
