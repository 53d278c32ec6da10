"""Bundles of several owners -> a run folder that can be run, sampled and studied; no data are pooled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from mixvel_core.artifacts.artifact import Artifact
from mixvel_core.artifacts.files import checksum, read_json, write_json
from mixvel_core.artifacts.lock import locked
from mixvel_core.errors import ArtifactError, DataError, MixvelError, RecipeError, UsageError
from mixvel_core.federated.bundle import ExpertBundle, shared_options
from mixvel_core.federated.run_expert import read_expert
from mixvel_core.federated.shared_conditions import difference, with_names
from mixvel_core.pipeline.codecs import refuse_codec
from mixvel_core.pipeline.discard import check_kept
from mixvel_core.pipeline.experts import ExpertStage
from mixvel_core.pipeline.jobs import MODEL
from mixvel_core.pipeline.models import model_stages
from mixvel_core.pipeline.partition import partition_artifact, stored_shards
from mixvel_core.pipeline.preflight import preflight_without_data
from mixvel_core.pipeline.run_folder import begin, check_folder
from mixvel_core.pipeline.shards import RemoteShard, Shards, write_remote
from mixvel_core.pipeline.shared_experts import check_apart
from mixvel_core.pipeline.trained import ORIGIN
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import ExpertConfig, Progress
from mixvel_core.recipe.dump import diff, plain
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.problems import SourcePlace, Tree, one_line
from mixvel_core.recipe.resolve import read_recipe, resolve


def in_order(bundles: Sequence[ExpertBundle]) -> list[ExpertBundle]:
    """The experts as they will be numbered 0..K-1: by their own indices if these differ, else as they were given.

    Raises DataError where one was given twice, ArtifactError where they do not fit together; names the folders.
    """
    seen: dict[str, Path] = {}
    for bundle in bundles:
        first = seen.setdefault(checksum(bundle.folder / MODEL), bundle.folder)
        if first is not bundle.folder:
            raise DataError(f"{bundle.folder}: the same expert as {first}; name each once")
    for bundle in bundles[1:]:
        _check_alike(bundle, bundles[0])
        _check_conditions(bundle, bundles[0])
    indices = [bundle.index for bundle in bundles]
    chosen = sorted(bundles, key=lambda bundle: bundle.index) if len(set(indices)) == len(indices) else list(bundles)
    conditions = with_names(bundles[0].conditions, [bundle.conditions for bundle in bundles])
    return [evolve(bundle, index=k, conditions=conditions) for k, bundle in enumerate(chosen)]


def _check_alike(bundle: ExpertBundle, first: ExpertBundle) -> None:
    pairs = (
        ("items", bundle.shape, first.shape),
        ("values", bundle.values, first.values),
        ("the schedule", bundle.schedule, first.schedule),
        ("the expert", without_training(bundle.expert), without_training(first.expert)),
    )
    for what, mine, its in pairs:
        if mine != its and mine is not None and its is not None:
            raise ArtifactError(f"{bundle.folder}: {what}: {_difference(its, mine)}, compared with {first.folder}")


def _check_conditions(bundle: ExpertBundle, first: ExpertBundle) -> None:
    if found := difference(first.conditions, bundle.conditions):
        raise ArtifactError(
            f"{bundle.folder}: reads other conditions ({found}), compared with {first.folder}; train both with one "
            "`condition`, and data of the same classes (`label_names` of the data lists them)"
        )


def without_training(expert: Mapping[str, Any]) -> dict[str, Any]:
    """The options that decide how an expert is loaded; owners may train theirs differently."""
    return {name: value for name, value in shared_options(expert).items() if name != "train"}


def _difference(old: Any, new: Any) -> str:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return "; ".join(diff(old, new))
    return f"{old} -> {new}"


def check_loads(bundle: ExpertBundle, recipe: Recipe) -> None:
    """Raises ArtifactError, naming the folder, where its weights are not those of the expert that it describes."""
    bundle.check_gaussians()
    config = ExpertConfig(
        index=bundle.index, count=bundle.count, fraction=1.0, shape=bundle.shape, conditions=bundle.conditions
    )
    try:
        recipe.expert.build().load(config, bundle.tensors(), recipe.schedule.build())
    except MixvelError as error:
        text = str(error)
        raise ArtifactError(text if text.startswith(str(bundle.folder)) else f"{bundle.folder}: {text}") from None
    # Any: the tensors come from elsewhere, and a family may fail on them in any way.
    except Exception as error:
        raise ArtifactError(
            f"{bundle.folder}: does not load ({type(error).__name__}: {one_line(str(error))})"
        ) from error


def remote_shards(bundles: Sequence[ExpertBundle], folder: Path) -> tuple[RemoteShard, ...]:
    """What is known of the shards, pi_k = n_k / n."""
    total = sum(bundle.count for bundle in bundles)
    return tuple(
        RemoteShard(
            folder=folder / str(bundle.index),
            index=bundle.index,
            count=bundle.count,
            fraction=bundle.count / total,
            shape=bundle.shape,
            rank=bundle.share.rank,
            components=bundle.share.components,
            conditions=bundle.conditions,
            class_counts=bundle.class_counts,
            shared_from=bundle.folder,
        )
        for bundle in bundles
    )


def place_shards(parts: tuple[RemoteShard, ...], artifact: Artifact) -> Shards:
    """The shards of which little but the count is known; written, or found as they were written before.

    Raises UsageError where others are there.
    """
    stored = stored_shards(artifact)
    if stored is None:
        source = {"source": f"{len(parts)} owners, who keep them", "count": str(sum(part.count for part in parts))}
        stored = write_remote(parts, artifact, source)
    if stored.parts != parts:
        raise _other_experts(artifact.folder.parent)
    return stored


def place_expert(bundle: ExpertBundle, stage: ExpertStage, run: Path) -> None:
    """The expert's folder in the run. Raises UsageError where another expert is there."""
    origin = stage.folder / ORIGIN
    mark = {"model": checksum(bundle.folder / MODEL)}
    if stage.artifact.is_done():
        if not origin.exists() or read_json(origin) != mark:
            raise _other_experts(run)
        return
    stage.artifact.clear()
    write_json(origin, mark)
    stage.store(bundle.tensors())


def _other_experts(run: Path) -> UsageError:
    return UsageError(f"{run}: assembled from other experts, or with more or less shared; choose another --out")


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
"""The parts of a recipe that bundles do not contain."""


def assemble(
    folders: Sequence[Path], out: Path, *, recipe: Path | None, overrides: Sequence[str], progress: Progress
) -> Recipe:
    """Makes a run folder of the bundles that owners sent; what is made already stays.

    Args:
        folders: written by ``mixvel train``, one for each expert, or experts of a run.
        out: the run folder, made if absent.
        recipe: everything but data, partition, schedule and expert; the usual if None.
        overrides: of the recipe.
        progress: a line for each expert.

    Returns:
        The recipe of the run, which lies in it.

    Raises:
        UsageError: ``out`` holds something else; nothing is changed.
        DataError, ArtifactError: a folder holds no expert, is damaged, or does not fit the others; names it.
        RecipeError: the recipe does not fit the experts, or needs the data.
    """
    if not folders:
        raise UsageError("no expert is named; name the folders that `mixvel train` wrote, or those of a run's experts/")
    bundles = in_order([read_expert(folder) for folder in folders])
    made = _recipe(bundles, out, recipe, overrides)
    for bundle in bundles:
        check_loads(bundle, made)
    artifact = partition_artifact(made, out)
    parts = remote_shards(bundles, artifact.folder)
    for remote in parts:
        remote.check_shared()
    preflight_without_data(made, parts)
    with locked(out):
        check_folder(out)
        check_kept(made, out)
        begin(made, out, progress)
        shards = place_shards(parts, artifact)
        for bundle, stage in zip(bundles, model_stages(made, out, shards).separate, strict=True):
            place_expert(bundle, stage, out)
    for bundle, part in zip(bundles, shards.parts, strict=True):
        progress.line(f"expert {bundle.index}: {bundle.folder}  {bundle.count} items  fraction {part.fraction:.4f}")
    return made


def _recipe(bundles: Sequence[ExpertBundle], out: Path, path: Path | None, overrides: Sequence[str]) -> Recipe:
    """The recipe of the run, without data and what is known of them. Schedule and expert are the owners'; a recipe that
    has them must agree."""
    first = bundles[0]
    theirs = {"schedule": first.schedule, "expert": first.expert}
    # The folder's name, as far as a recipe's may be like that.
    name = re.sub(r"[^a-zA-Z0-9.+_-]", "-", out.absolute().name).lstrip(".+_-")[:80] or "assembled"
    tree = Tree(value={"name": name, **USUAL}, places={(): SourcePlace(source="assemble")})
    if path is not None:
        tree = read_recipe(path)
    if isinstance(tree.value, dict):
        value = {**theirs, **tree.value, "data": None, "partition": None, "condition": None}
        tree = evolve(tree, value=value)
    made = resolve(tree, overrides, load_registry())
    refuse_codec(made, "experts that are assembled are of items as they are")
    check_apart(made.expert, "experts that were trained apart have a network each")
    changed = diff(without_training(first.expert), without_training(plain(made.expert)))
    changed += diff(first.schedule, plain(made.schedule))
    if changed:
        raise RecipeError(
            f"the recipe is of other experts than {first.folder} ({'; '.join(changed)}); leave out "
            "`schedule` and `expert` to take theirs"
        )
    return made
