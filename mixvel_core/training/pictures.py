"""Pictures of a network while it is trained: a few samples by its averaged weights, from the same noise every time.

A look costs about as much as one step of training (COUNT x STEPS evaluations, without a gradient), and changes nothing.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.data.conditions import class_spec
from mixvel_core.data.items import are_latents
from mixvel_core.data.pictures import grid, is_image
from mixvel_core.field.conversions import at_time, ddim_step
from mixvel_core.protocols import Condition, ConditionedTask, DenoisingObjective, Job, NoiseSchedule, Objective
from mixvel_core.randomness import key, normal
from mixvel_core.sampling.grid import time_grid
from mixvel_core.training.conditions import ConditionFeed
from mixvel_core.training.held_out import Averaged
from mixvel_core.training.state import TrainState

if TYPE_CHECKING:
    from PIL import Image

COUNT, COLUMNS, STEPS = 16, 8, 12
"""Samples in a picture, how many stand side by side, and DDIM steps of each."""
CLASSES = 10
"""Where points have classes there is a row for each of the first so many, half as long where they are more than two."""
SMALLEST = 32
"""Sides of a sample in a picture, in pixels: smaller ones are enlarged by a whole factor to at least this."""
EARLY, LATE = 0.1, 0.95
"""A network that is not trained at times below the one and above the other makes no samples by itself."""


@frozen(kw_only=True, eq=False)
class TrainingPictures:
    """Samples of a network in training. ``noise``: where they start, (B, C, H, W). ``shards``: their labels, (B,).
    ``times``: falling. ``condition``: of each sample, where points have conditions. ``columns``: samples in a row."""

    objective: DenoisingObjective
    schedule: NoiseSchedule
    noise: Tensor
    shards: Tensor
    times: tuple[float, ...]
    condition: Condition | None = None
    columns: int = COLUMNS

    def due(self, step: int, every: int, last: bool) -> bool:
        """Whether step number ``step`` is one of those that are shown."""
        return last or step % every == 0

    @torch.no_grad()
    def of(self, network: nn.Module, average: dict[str, Tensor]) -> Image.Image:
        """The samples side by side, of ``network`` with the weights ``average``; it is left as it was."""
        training = network.training
        averaged, x = Averaged(network.eval(), average), self.noise
        try:
            for t, s in pairwise(self.times):
                at_t = x.new_full((len(x),), t)
                m = self.objective.denoise(averaged, x, at_t, self.shards, self.condition).float().clamp(-1, 1)
                x = ddim_step(m, x, at_time(self.schedule, t), at_time(self.schedule, s))
        finally:
            network.train(training)
        images = x.nan_to_num().cpu().numpy()
        return grid(images, self.columns, scale=max(1, -(-SMALLEST // max(images.shape[2:]))))


def training_pictures(
    job: Job, objective: Objective, state: TrainState, device: torch.device
) -> TrainingPictures | None:
    """What shows samples of the network that is trained; None where nothing is to be shown, or it makes no pictures."""
    options, shape = job.task.options, tuple(int(n) for n in job.task.items.shape[1:])
    shown = options.pictures_every and job.tensorboard is not None and is_image(shape)
    # Latents are decoded where samples are, not while a network is trained.
    shown = shown and not are_latents(job.task.items)
    if not shown or not isinstance(objective, DenoisingObjective):
        return None
    if options.earliest_t > EARLY or options.latest_t < LATE:
        return None
    times = time_grid("chebyshev", job.task.schedule, STEPS, options.earliest_t)
    labels = 1 if job.task.shards is None else int(job.task.shards.max()) + 1
    chosen, columns = _shown(job)
    feed = ConditionFeed.of(job.name, job.task, job.seed)
    index = torch.arange(len(chosen), device=device)
    return TrainingPictures(
        objective=objective,
        schedule=job.task.schedule,
        noise=normal(key(job.seed, "pictures"), index, shape, torch.float32),
        shards=index % labels,
        times=tuple(dict.fromkeys(min(t, options.latest_t) for t in times)),
        condition=None if feed is None else feed.at(chosen).to(device),
        columns=columns,
    )


def _shown(job: Job) -> tuple[np.ndarray, int]:
    """The items whose conditions the samples are given, (B,), and how many of them stand in a row: a row a class."""
    task = job.task
    spec = class_spec(task.conditions) if isinstance(task, ConditionedTask) else None
    if spec is None or not isinstance(task, ConditionedTask):
        return np.resize(np.arange(len(task.items)), COUNT), COLUMNS
    labels = np.asarray(task.condition_values()[spec.name][:])
    present = np.unique(labels)[:CLASSES]
    columns = COLUMNS if len(present) <= 2 else COLUMNS // 2
    return np.concatenate([np.resize((labels == label).nonzero()[0], columns) for label in present]), columns
