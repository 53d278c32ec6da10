"""One job as a Ray Train run. With ``cluster`` the only importer of ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
import torch.distributed as dist
from attrs import define, field, frozen
from ray.exceptions import RayError
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from mixvel_core.errors import MixvelError, TrainingError
from mixvel_core.protocols.progress import Silent
from mixvel_core.training.world import World
from mixvel_ray.progress import Event, WorkerReport
from mixvel_ray.streaming import ClusterReader
from mixvel_ray.work import Room, Work


@frozen(kw_only=True)
class Fit:
    """Runs works. ``mailbox``: an actor's handle. ``scratch``: a folder for Ray's own notes, on the driver's node.

    Checkpoints are the training's own, in the job's folder: they are sealed, and the newest whole one is always
    found, where Ray's manager may fall back one.
    """

    room: Room
    max_failures: int
    mailbox: Any
    scratch: Path

    def run(self, work: Work) -> None:
        """Returns when the job is trained. Raises TrainingError where its workers failed too often."""
        need = dict(self.room.need)
        trainer = ray.train.torch.TorchTrainer(
            _work,
            train_loop_config={"work": work, "mailbox": self.mailbox},
            # NCCL refuses two workers on one GPU.
            torch_config=ray.train.torch.TorchConfig(backend="nccl" if self.room.gpus >= 1 else "gloo"),
            scaling_config=ray.train.ScalingConfig(
                num_workers=self.room.workers, use_gpu=self.room.gpus > 0, resources_per_worker=need
            ),
            run_config=ray.train.RunConfig(
                name=work.job.name,
                storage_path=str(self.scratch),
                failure_config=ray.train.FailureConfig(max_failures=self.max_failures),
                checkpoint_config=ray.train.CheckpointConfig(num_to_keep=work.job.task.options.keep),
                logging_config=ray.train.LoggingConfig(log_level="ERROR"),
            ),
        )
        try:
            trainer.fit()
        except (ray.train.TrainingFailedError, RayError) as error:
            raise self._error_of(work, error) from None

    def _error_of(self, work: Work, error: Exception) -> MixvelError:
        """The failure in a line: our own error where one of the workers had one, else the first cause."""
        causes = [cause_of(e) for _, e in sorted(getattr(error, "worker_failures", {}).items())] or [cause_of(error)]
        ours = [cause for cause in causes if isinstance(cause, MixvelError)]
        if ours:
            return ours[0]
        return TrainingError(
            f"{work.job.name}: its workers failed {self.max_failures + 1} times, at last by {first_line(causes[0])}; "
            "what was saved is kept: run the same line again to go on, or raise launcher.max_failures"
        )


def first_line(error: BaseException) -> str:
    """The class of an error and the first line of its message."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".rstrip(": ")


_WRAPPED_IN = ("_base_exc", "controller_failure", "cause")


def cause_of(error: BaseException) -> BaseException:
    """What was raised first, out of the wrappings that Ray puts around it."""
    inner = next((e for name in _WRAPPED_IN if isinstance(e := getattr(error, name, None), BaseException)), None)
    return error if inner is None or inner is error else cause_of(inner)


@define
class ActorChannel:
    """The way to the mailbox actor."""

    mailbox: Any
    _sent: Any = field(default=None, init=False)
    _told: bool = field(default=False, init=False)

    def send(self, events: Sequence[Event]) -> None:
        """Sends; the actor takes in what one worker sends in its order."""
        self._sent = self.mailbox.post.remote(list(events))

    def answer(self) -> bool | None:
        """The answer to the last ``send``. Ray is queried only while there is none: this is called at each step."""
        if self._sent is not None and not ray.wait([self._sent], timeout=0)[0]:
            return None
        return self.wait()

    def wait(self) -> bool:
        """The answer to the last ``send``, waited for: what was sent before has arrived."""
        if self._sent is not None:
            self._told, self._sent = bool(ray.get(self._sent)), None
        return self._told


def _work(config: dict[str, Any]) -> None:
    """What Ray calls on each worker."""
    context = ray.train.get_context()
    work: Work = config["work"]
    wire = ActorChannel(config["mailbox"])
    # A worker that is made for one that is to stop has nothing to do.
    wire.send([])
    if wire.wait():
        return
    device = ray.train.torch.get_device()
    world = world_of(context.get_world_rank(), context.get_world_size(), device)
    report = WorkerReport(job=work.job.name, wire=wire) if world.leads else Silent()
    try:
        work.do(device, world, report, wire)
    finally:
        wire.wait()


def world_of(rank: int, size: int, device: torch.device) -> World:
    """The workers of the process group that Ray has set up; a single one needs none."""
    if size == 1:
        return World(reader=ClusterReader())

    def reduced(value: Tensor, op: Any) -> Tensor:
        found = value.clone()
        dist.all_reduce(found, op=op)
        return found

    def agree(value: int) -> int:
        there = torch.tensor(value, dtype=torch.int64, device=device)
        dist.broadcast(there, src=0)
        return int(there)

    return World(
        rank=rank,
        size=size,
        wrap=lambda network: DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None),
        mean=lambda value: reduced(value, dist.ReduceOp.SUM) / size,
        least=lambda value: reduced(value, dist.ReduceOp.MIN),
        agree=agree,
        reader=ClusterReader(),
    )
