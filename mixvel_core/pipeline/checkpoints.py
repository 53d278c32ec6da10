"""Runs of experts that others have trained, without any data: their shards are known by the shape of an item alone."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve, frozen

from mixvel_core.errors import DataError, RecipeError
from mixvel_core.pipeline.codecs import FittedCodec, ready_codec
from mixvel_core.pipeline.preflight import preflight_without_data
from mixvel_core.pipeline.shards import CheckpointShard
from mixvel_core.protocols import AdapterFamily, CheckpointFamily, ConditionalCheckpoints, ExpertFamily
from mixvel_core.recipe.model import Recipe

PROVENANCE = {"source": "experts that others have trained; their data are not here"}


@frozen(kw_only=True)
class CheckpointShards:
    """``parts``: the shards of experts that are there, all of one fraction. ``codec``: of their latents, if any."""

    parts: tuple[CheckpointShard, ...]
    codec: FittedCodec | None = None


def open_checkpoints(recipe: Recipe, folder: Path) -> CheckpointShards:
    """The shards of a recipe whose `data` are null; nothing is written.

    Args:
        recipe: names experts that are there.
        folder: of the partition stage.

    Raises:
        DataError: its experts need data.
        RecipeError: they are of different shapes, or plugins cannot do without the items; a line for each problem.
        MixvelError: an expert is not where the recipe says.
    """
    network, shapes = _there(recipe)
    if not shapes:
        raise DataError("`data` is null, they are with their owners; `mixvel assemble` makes a run from their experts")
    for index, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise RecipeError(
                f"expert {recipe.expert.name}: expert {index} is for items of {_sides(shape)}, expert 0 for "
                f"{_sides(shapes[0])}; name experts of one shape"
            )
    known = CheckpointShard(
        folder=folder,
        index=0,
        count=0,
        fraction=1.0 / len(shapes),
        shape=tuple(shapes[0]),
        conditions=tuple(network.conditions()) if isinstance(network, ConditionalCheckpoints) else (),
    )
    parts = tuple(evolve(known, folder=folder / str(k), index=k) for k in range(len(shapes)))
    codec = ready_codec(recipe, known.shape)
    preflight_without_data(recipe, parts, None if codec is None else codec.placed)
    return CheckpointShards(parts=parts, codec=codec)


def _there(recipe: Recipe) -> tuple[ExpertFamily, list[tuple[int, ...]]]:
    """The family of the networks that are there, of adapters their base's, and ``*data`` of experts 0..K-1; no shapes
    where they are not there."""
    family = recipe.expert.build()
    if isinstance(family, AdapterFamily) and recipe.monolith is not None:
        base = recipe.monolith.build()
        return base, [base.shapes()[0]] * family.count() if isinstance(base, CheckpointFamily) else []
    return family, list(family.shapes()) if isinstance(family, CheckpointFamily) else []


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
