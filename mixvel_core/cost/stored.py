"""Bytes: what a run keeps, and what would leave a silo."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mixvel_core.cost.jobs import PlannedJob
from mixvel_core.cost.networks import CHECKPOINT, WEIGHTS
from mixvel_core.cost.words import amount
from mixvel_core.protocols import Shard
from mixvel_core.recipe.model import Recipe
from mixvel_core.stages.sample import draws_of
from mixvel_core.stages.shards import are_here
from mixvel_core.training.shared import is_shared

_FLOAT = 4


def bytes_of(recipe: Recipe, parts: Sequence[Shard], jobs: Sequence[PlannedJob]) -> Iterator[str]:
    """Lines about bytes."""
    numbers = math.prod(parts[0].shape)
    stored = []
    if are_here(parts):
        size = sum(part.count for part in parts) * numbers * parts[0].items.dtype.itemsize
        stored.append(f"shards {amount(size, 'B')}")
    known = [(job, job.network.parameters) for job in jobs if job.network is not None]
    if known:
        # Each network twice: as the job's result and in the model's folder.
        checkpoints = sum(CHECKPOINT * job.keep * parameters for job, parameters in known)
        models = sum(2 * WEIGHTS * parameters for _, parameters in known)
        stored += [f"checkpoints {amount(checkpoints, 'B')}", f"networks {amount(models, 'B')}"]
    draws = len(list(draws_of(recipe.sample, list(recipe.routers))))
    stored.append(f"samples {amount(draws * recipe.sample.count * numbers * _FLOAT, 'B')}")
    yield f"stored      {', '.join(stored)}"
    experts = [parameters for job, parameters in known if job.group == "experts"]
    if experts and is_shared(recipe.expert.options):
        yield "moved       all items to one place, where one network is trained on them for all experts"
    elif experts:
        weights = [WEIGHTS * parameters for parameters in experts]
        moments = 2 * _FLOAT * numbers
        each = amount(max(weights), "B")
        yield (
            f"moved       between silos nothing while they train; then {each} of weights for an expert, "
            f"{amount(sum(weights), 'B')} in all, and {amount(moments, 'B')} for a shard's mean and variance if shared"
        )
