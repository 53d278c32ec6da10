"""Pictures of a network while it is trained: a few samples by its averaged weights, from the same noise every time.

A look costs about as much as one step of training (COUNT x STEPS evaluations, without a gradient), and changes nothing.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.data.pictures import grid, is_image
from mixvel_core.field.conversions import at_time, ddim_step
from mixvel_core.protocols import DenoisingObjective, Job, NoiseSchedule, Objective
from mixvel_core.randomness import key, normal
from mixvel_core.sampling.grid import time_grid
from mixvel_core.training.held_out import Averaged
from mixvel_core.training.state import TrainState

if TYPE_CHECKING:
    from PIL import Image

COUNT, COLUMNS, STEPS = 16, 8, 12
"""Samples in a picture, how many stand side by side, and DDIM steps of each."""
SMALLEST = 32
"""Sides of a sample in a picture, in pixels: smaller ones are enlarged by a whole factor to at least this."""
EARLY, LATE = 0.1, 0.95
"""A network that is not trained at times below the one and above the other makes no samples by itself."""


@frozen(kw_only=True, eq=False)
class TrainingPictures:
    """Samples of a network in training. ``noise``: where they start, (COUNT, C, H, W). ``shards``: their labels,
    (COUNT,). ``times``: falling."""

    objective: DenoisingObjective
    schedule: NoiseSchedule
    noise: Tensor
    shards: Tensor
    times: tuple[float, ...]

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
                m = self.objective.denoise(averaged, x, x.new_full((len(x),), t), self.shards).float().clamp(-1, 1)
                x = ddim_step(m, x, at_time(self.schedule, t), at_time(self.schedule, s))
        finally:
            network.train(training)
        images = x.nan_to_num().cpu().numpy()
        return grid(images, COLUMNS, scale=max(1, -(-SMALLEST // max(images.shape[2:]))))


def training_pictures(
    job: Job, objective: Objective, state: TrainState, device: torch.device
) -> TrainingPictures | None:
    """What shows samples of the network that is trained; None where nothing is to be shown, or it makes no pictures."""
    options, shape = job.task.options, tuple(int(n) for n in job.task.items.shape[1:])
    shown = options.pictures_every and job.tensorboard is not None and is_image(shape)
    if not shown or not isinstance(objective, DenoisingObjective):
        return None
    if options.earliest_t > EARLY or options.latest_t < LATE:
        return None
    times = time_grid("chebyshev", job.task.schedule, STEPS, options.earliest_t)
    labels = 1 if job.task.shards is None else int(job.task.shards.max()) + 1
    index = torch.arange(COUNT, device=device)
    return TrainingPictures(
        objective=objective,
        schedule=job.task.schedule,
        noise=normal(key(job.seed, "pictures"), index, shape, torch.float32),
        shards=index % labels,
        times=tuple(dict.fromkeys(min(t, options.latest_t) for t in times)),
    )
