"""train: the one training loop, of experts, monoliths and routers, under every launcher.

All that happens is a function of the job and the step: the batches (``batches``), the rates (``state``) and
the initial weights. Interrupted and resumed, a training on the CPU ends bit for bit where it would have ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mixvel_core.protocols.launcher import Job
from mixvel_core.protocols.progress import Progress
from mixvel_core.protocols.training import Objective
from mixvel_core.randomness import key
from mixvel_core.training.batches import Batches
from mixvel_core.training.checkpoint import Checkpoints, damaged, identity, is_trained, write_trained
from mixvel_core.training.events import EventFile
from mixvel_core.training.held_out import COLUMN, held_out_loss
from mixvel_core.training.log import FILE, LossLog, SpeedMeter, seconds_before
from mixvel_core.training.pictures import training_pictures
from mixvel_core.training.state import TrainState, learning_rate
from mixvel_core.training.step import Step, Watch, called, placed
from mixvel_core.training.world import World, uninterrupted

if TYPE_CHECKING:
    from PIL import Image


class Record:
    """Where the losses of the next steps go: into ``state``, and into two views of what lies there."""

    def __init__(self, job: Job, state: TrainState, world: World) -> None:
        self._world = world
        self._losses = state.losses
        self._log = LossLog(job.folder / FILE, state.losses) if world.leads else None
        self._events = EventFile(job.tensorboard, state.step) if world.leads and job.tensorboard else None

    def close(self) -> None:
        """Ends the event file."""
        if self._events:
            self._events.close()

    def write(self, step: int, losses: Mapping[str, Tensor], beside: Mapping[str, float]) -> str:
        """Records the mean over all workers; returns the note for the progress bar. ``beside``: what TensorBoard shows
        besides."""
        # In one order on all workers, who wait for each other at every mean.
        values = {name: float(self._world.mean(losses[name].detach())) for name in sorted(losses)}
        self._losses.add(step, values)
        if self._log:
            self._log.append()
        if self._events:
            self._events.write(step, {**values, **{f"training/{name}": value for name, value in beside.items()}})
        return f"loss {values['loss']:.4f}"

    def sync(self) -> None:
        """Before a checkpoint: what lies behind it will not be recorded again."""
        if self._events:
            self._events.sync()

    def picture(self, step: int, image: Image.Image) -> None:
        """Shows samples of the network as it is after ``step`` steps."""
        if self._events:
            self._events.picture(step, "samples", image)


_ALONE = World()


def train(job: Job, *, device: torch.device, progress: Progress, world: World = _ALONE) -> None:
    """Trains a job to its end and leaves ``trained.safetensors`` in its folder; does nothing where it is there.

    Args:
        job: the network, its data and options, its seed and folder. Beside the result the folder keeps
            ``losses.csv`` and, under ``state``, the newest checkpoints, from which the training goes on.
        device: where the network and its batches live.
        progress: shows a bar of steps with the latest recorded loss.
        world: the workers that share each batch.

    Raises:
        TrainingError: a loss or gradient is not finite; names the job and the step. Checkpoints are kept.
        DataError: the job has no items.
        ArtifactError: the folder holds another training, or cannot be written.
        KeyboardInterrupt, SystemExit: passed on after a checkpoint at the step in hand.
    """
    if world.agree(world.leads and is_trained(job.folder)):
        progress.line(f"{job.name}: already trained")
        return
    if world.leads and (path := damaged(job.folder)):
        progress.line(f"{path}: damaged; made again")
    batches = Batches(job, device, world)
    objective = job.task.objective(key(job.seed, "weights"))
    state = TrainState(placed(objective.network, job.task.options, device), job.task.options)
    same = identity(job.seed, batches.count, job.task.options)
    checkpoints = Checkpoints(folder=job.folder / "state", keep=job.task.options.keep, identity=same)
    checkpoints.resume(state, progress, world)
    with closing(batches):
        _run(job, objective, state, batches, checkpoints, progress, world)
    if world.leads:
        write_trained(job.folder, state.average.tensors, same)


def _run(
    job: Job,
    objective: Objective,
    state: TrainState,
    batches: Batches,
    checkpoints: Checkpoints,
    progress: Progress,
    world: World,
) -> None:
    """The steps that are left."""
    options = job.task.options
    network = called(state.network, options, world)
    step = Step(objective=objective, network=network, state=state, options=options)
    speed, before = SpeedMeter(batch=options.batch), seconds_before(job.folder) if state.step else 0.0
    speed.begin()
    watch = Watch(job.name, batches.device)
    pictures = training_pictures(job, objective, state, batches.device) if world.leads else None
    note = ""
    with closing(Record(job, state, world)) as record, progress.task(job.name, options.steps, "steps") as bar:
        try:
            bar.update(state.step, note)
            while state.step < options.steps:
                # Also the records are part of a step: an interruption between them would leave a gap.
                with uninterrupted():
                    losses, norm = step.take(batches.at(state.step))
                    speed.stepped()
                    watch.see(state.step, losses["loss"], norm)
                    last = state.step == options.steps
                    if last or state.step == 1 or state.step % options.log_every == 0:
                        watch.check(world)
                        speed.waited()
                        held_out = _held_out(objective, state, batches, options.batch)
                        note = record.write(state.step, losses | held_out, _beside(state, norm, speed))
                        note = "  ".join(filter(None, (note, speed.note)))
                    if pictures and pictures.due(state.step, options.pictures_every, last):
                        record.picture(state.step, pictures.of(state.network, state.average.tensors))
                    if last or state.step % options.checkpoint_every == 0:
                        watch.check(world)
                        if world.leads:
                            record.sync()
                            checkpoints.save(state)
                bar.update(state.step, note)
        except (KeyboardInterrupt, SystemExit):
            if world.leads and watch.fine:
                record.sync()
                checkpoints.save(state)
                speed.write(job.folder, batches.device, world, before)
            raise
    if world.leads:
        speed.write(job.folder, batches.device, world, before)


def _beside(state: TrainState, norm: Tensor, speed: SpeedMeter) -> dict[str, float]:
    """What is shown of the last step besides its losses: its rate, the norm of its gradient before it was shortened,
    and images a second so far, once they were timed."""
    rate = speed.images_per_second
    timed = {} if rate is None else {"images_per_second": rate}
    return {"learning_rate": learning_rate(state.step - 1, state.options), "gradient_norm": float(norm), **timed}


def _held_out(objective: Objective, state: TrainState, batches: Batches, size: int) -> dict[str, Tensor]:
    """The loss on the items that are not trained on, by its name; {} where there are none."""
    held = batches.held_out(state.step - 1)
    if held is None:
        return {}
    # Every worker computes all of it: the mean over workers is then the same number.
    return {COLUMN: held_out_loss(objective, state.network, state.average.tensors, held, size)}
