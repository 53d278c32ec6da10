"""Runs of experts that others have trained, without any data: their shards are known by the shape of an item alone."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve, frozen

from mixvel_core.errors import DataError, RecipeError
from mixvel_core.pipeline.codecs import refuse_codec
from mixvel_core.pipeline.preflight import preflight_without_data
from mixvel_core.pipeline.shards import CheckpointShard
from mixvel_core.protocols import CheckpointFamily, ConditionalCheckpoints
from mixvel_core.recipe.model import Recipe

PROVENANCE = {"source": "experts that others have trained; their data are not here"}


@frozen(kw_only=True)
class CheckpointShards:
    """``parts``: the shards of experts that are there, all of one fraction."""

    parts: tuple[CheckpointShard, ...]


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
    refuse_codec(recipe, "without data there are no items to make it for")
    family = recipe.expert.build()
    if not isinstance(family, CheckpointFamily):
        raise DataError("`data` is null, they are with their owners; `mixvel assemble` makes a run from their experts")
    shapes = list(family.shapes())
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
        conditions=tuple(family.conditions()) if isinstance(family, ConditionalCheckpoints) else (),
    )
    parts = tuple(evolve(known, folder=folder / str(k), index=k) for k in range(len(shapes)))
    preflight_without_data(recipe, parts)
    return CheckpointShards(parts=parts)


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
