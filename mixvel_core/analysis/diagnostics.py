"""Diagnostics of a run's experts: disagreement along the mixture's trajectories, and alignment with the shards.

They show why one way to select experts scores better than another (after arXiv 2602.02685): where experts disagree,
drawing one or keeping few costs accuracy; where an expert is bad on the shards of others, giving it weight does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from attrs import asdict, evolve, frozen

from mixvel_core.analysis.alignment import AlignmentRow, LabelledItems, RuleRow, alignment
from mixvel_core.analysis.calibration import BUCKETS, EARLIEST
from mixvel_core.analysis.disagreement import DisagreementRow, along_mixture
from mixvel_core.analysis.records import restored
from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.artifacts.files import read_json, write_json
from mixvel_core.device import threads
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.loaded import Loaded, Models
from mixvel_core.pipeline.shards import Shards, StoredShard
from mixvel_core.protocols import Progress, Router
from mixvel_core.randomness import key, permutation
from mixvel_core.recipe.dump import keyed
from mixvel_core.recipe.model import Recipe
from mixvel_core.sampling.draws import SampleDraws

STEPS = 16
"""Of the trajectories."""
POINTS = 32
"""Trajectories where the recipe does not set it; there are about twice as many noised items."""
_ROOM = 1 << 27
"""Numbers that all experts' answers may take."""


@frozen(kw_only=True)
class Diagnostics:
    """``flow``: along trajectories. ``alignment``, ``rules``: on noised items; empty where items are with their owners.
    ``points``: trajectories. ``items``: of all shards, at each time.
    """

    flow: tuple[DisagreementRow, ...]
    alignment: tuple[AlignmentRow, ...]
    rules: tuple[RuleRow, ...]
    points: int
    items: int


def diagnose(recipe: Recipe, shards: Shards, models: Models, folder: Path, progress: Progress) -> Diagnostics | None:
    """Measures a run, and keeps what it finds in ``diagnostics/``.

    The full mixture goes down its trajectories in 16 steps under the first router, and all experts are evaluated on
    noised items of every shard at eight times: about 33 K evaluations a trajectory in all.

    Args:
        shards: whose items are noised.
        folder: of the run.
        progress: a bar over times; none where all is known.

    Returns:
        What was found; None with a single expert, without routers, or where `report.diagnostics` is 0.
    """
    points = POINTS if recipe.report.diagnostics is None else recipe.report.diagnostics
    if recipe.report.diagnostics is None:
        points = min(points, recipe.sample.count)
    if points == 0 or len(models.experts) < 2 or not models.routers:
        return None
    points = max(1, min(points, _ROOM // (2 * len(models.experts) * math.prod(shards.shape))))
    artifact = Artifact(
        folder=folder / "diagnostics",
        key=key_of(
            schedule=keyed(recipe.schedule),
            experts=[one.key for one in models.experts],
            monolith=models.monolith.key if models.monolith else None,
            routers={name: one.key for name, one in models.routers.items()},
            shards=shards.key,
            seed=recipe.seed,
            points=points,
            steps=STEPS,
        ),
    )
    path = artifact.folder / "diagnostics.json"
    if not artifact.is_done():
        report_damage([artifact.first_damaged()], progress)
        with threads(recipe.sample.threads), torch.inference_mode():
            found = _measured(recipe, shards, models, points, progress)
        write_json(path, asdict(found))
        artifact.commit([path.name])
    return restored(Diagnostics, read_json(path))


def _measured(recipe: Recipe, shards: Shards, models: Models, points: int, progress: Progress) -> Diagnostics:
    # Compiling takes longer than all of this.
    loaded = Loaded(models, evolve(recipe.sample, compile=False))
    routers = {name: loaded.router(name) for name in models.routers}
    times = [1.0 + (EARLIEST - 1.0) * n / STEPS for n in range(STEPS + 1)]
    middles = [EARLIEST + (1.0 - EARLIEST) * (b + 0.5) / BUCKETS for b in range(BUCKETS)]
    draws = SampleDraws(seed=key(recipe.seed, "diagnostics", "start"), index=torch.arange(points, device=loaded.device))
    rows: list[AlignmentRow] = []
    rules: list[RuleRow] = []
    count = 0
    total = len(times) + (len(middles) if shards.are_local else 0)
    with progress.task("diagnostics", total, "times") as bar:
        flow = along_mixture(
            routers, loaded.experts(), loaded.schedule, draws, shards.shape, times, lambda done: bar.update(done)
        )
        if shards.are_local:
            items = noisy_items(shards, 2 * points, recipe.seed, loaded.device)
            count = len(items.x_0)
            rows, rules = alignment(
                items,
                loaded.experts(),
                loaded.experts(monolith=True)[0] if models.monolith else None,
                _stateless(routers, items),
                loaded.schedule,
                recipe.seed,
                middles,
                lambda done: bar.update(len(times) + done),
            )
    return Diagnostics(flow=tuple(flow), alignment=tuple(rows), rules=tuple(rules), points=points, items=count)


def _stateless(routers: Mapping[str, Router], items: LabelledItems) -> dict[str, Router]:
    x, t = items.x_0[:1], items.x_0.new_ones(1)
    return {name: router for name, router in routers.items() if router.start(x, t) is None}


def noisy_items(shards: Shards, total: int, seed: int, device: torch.device) -> LabelledItems:
    """As many items of each shard at random, at least two (all, if there are fewer), about ``total`` in all."""
    each = max(2, -(-total // len(shards.parts)))
    chosen = [_some(part, each, seed) for part in shards.parts]
    sizes = torch.tensor([len(one) for one in chosen])
    shard = torch.repeat_interleave(torch.arange(len(chosen)), sizes)
    weight = torch.tensor(shards.fractions)[shard] / sizes[shard]
    x_0 = torch.from_numpy(np.concatenate(chosen)).to(device)
    return LabelledItems(x_0=x_0, shard=shard.to(device), weight=weight.to(x_0))


def _some(part: StoredShard, count: int, seed: int) -> np.ndarray:
    rows = permutation(key(seed, "diagnostics", "items", part.index), part.count, 0)[:count]
    return to_float(part.items[rows.numpy()])


def tops_of(rows: Sequence[DisagreementRow]) -> tuple[int, ...]:
    """How many likeliest experts the rows are about, 1 to 3."""
    return tuple(range(1, 1 + len(rows[0].shares))) if rows else ()
