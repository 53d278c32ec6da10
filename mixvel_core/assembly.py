"""Assembly: experts of several owners -> a run folder that can be run, sampled and studied; no data are pooled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from mixvel_core.errors import RecipeError, UsageError
from mixvel_core.plugin.registry import load_registry
from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import diff, plain
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.problems import Place, Tree
from mixvel_core.recipe.resolve import read_recipe, resolve
from mixvel_core.stages.assembled import (
    away_shards,
    check_loads,
    in_order,
    place_expert,
    place_shards,
    without_training,
)
from mixvel_core.stages.folder import begin, check_folder
from mixvel_core.stages.handed import HandedExpert, read_handed
from mixvel_core.stages.lock import locked
from mixvel_core.stages.models import model_stages
from mixvel_core.stages.partition import partition_unit
from mixvel_core.stages.rehearsal import rehearse_away
from mixvel_core.stages.shared import check_apart

USUAL: dict[str, Any] = {
    "routers": {"a": {"use": "a-network", "train_on": "experts"}},
    "sample": {
        "selector": "cached",
        "integrator": "2m",
        "methods": {"cached": {}, "mixture": {"selector": "mixture"}},
    },
    "evaluate": {"metrics": ["sliced-w2"]},
    "launcher": "local",
}
"""The parts of a recipe that experts do not bring along."""


def assemble(
    folders: Sequence[Path], out: Path, *, recipe: Path | None, overrides: Sequence[str], progress: Progress
) -> Recipe:
    """Makes a run folder of experts that were handed over; what is made already stays.

    Args:
        folders: written by ``mixvel train``, one for each expert.
        out: the run folder, made if absent.
        recipe: says everything but data, partition, schedule and expert; the usual if None.
        overrides: of the recipe.
        progress: told what was assembled.

    Returns:
        The recipe of the run, which lies in it.

    Raises:
        UsageError: ``out`` holds something else; nothing is changed.
        DataError, ArtifactError: a folder holds no expert, is damaged, or does not fit the others; names it.
        RecipeError: the recipe does not fit the experts, or needs the data.
    """
    if not folders:
        raise UsageError("no expert is named; name the folders that `mixvel train` wrote")
    handed = in_order([read_handed(folder) for folder in folders])
    made = _recipe(handed, out, recipe, overrides)
    for one in handed:
        check_loads(one, made)
    unit = partition_unit(made, out)
    rehearse_away(made, away_shards(handed, unit.folder))
    with locked(out):
        check_folder(made, out, fresh=False)
        begin(made, out)
        shards = place_shards(handed, unit)
        for one, stage in zip(handed, model_stages(made, out, shards).apart, strict=True):
            place_expert(one, stage, out)
    for one, part in zip(handed, shards.parts, strict=True):
        progress.line(f"expert {one.index}: {one.folder}  {one.count} items  fraction {part.fraction:.4f}")
    return made


def _recipe(handed: Sequence[HandedExpert], out: Path, path: Path | None, overrides: Sequence[str]) -> Recipe:
    """The recipe of the run, without data. Schedule and expert are the owners'; a recipe that has them must agree."""
    first = handed[0]
    theirs = {"schedule": first.schedule, "expert": first.expert}
    tree = Tree(value={"name": _name(out), **USUAL}, places={(): Place(source="assemble")})
    if path is not None:
        tree = read_recipe(path)
    if isinstance(tree.value, dict):
        value = {**theirs, **tree.value, "data": None, "partition": None}
        tree = evolve(tree, value=value)
    made = resolve(tree, overrides, load_registry())
    check_apart(made.expert, "experts that were trained apart have a network each")
    changed = diff(without_training(first.expert), without_training(plain(made.expert)))
    changed += diff(first.schedule, plain(made.schedule))
    if changed:
        raise RecipeError(
            f"the recipe is of other experts than {first.folder} ({'; '.join(changed)}); leave out "
            "`schedule` and `expert` to take theirs"
        )
    return made


def _name(out: Path) -> str:
    """The folder's, as far as a recipe's name may be like that."""
    return re.sub(r"[^a-zA-Z0-9.+_-]", "-", out.absolute().name).lstrip(".+_-")[:80] or "assembled"
