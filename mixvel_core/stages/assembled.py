"""Experts that owners handed over -> the shards and experts of a run folder, as far as they can be had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from mixvel_core.errors import ArtifactError, DataError, MixvelError, UsageError
from mixvel_core.files import checksum, read_json, write_json
from mixvel_core.protocols import ExpertConfig
from mixvel_core.recipe.dump import diff
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.problems import one_line
from mixvel_core.stages.experts import ExpertStage
from mixvel_core.stages.handed import MODEL, HandedExpert
from mixvel_core.stages.partition import stored_shards
from mixvel_core.stages.shards import AwayShard, Shards, open_shards
from mixvel_core.stages.unit import Unit


def in_order(handed: Sequence[HandedExpert]) -> list[HandedExpert]:
    """The experts as they will be numbered 0..K-1: by their own indices if these differ, else as they were given.

    Raises DataError where one was given twice, ArtifactError where they do not fit together; names the folders.
    """
    seen: dict[str, Path] = {}
    for one in handed:
        first = seen.setdefault(checksum(one.folder / MODEL), one.folder)
        if first is not one.folder:
            raise DataError(f"{one.folder}: the same expert as {first}; name each once")
    for one in handed[1:]:
        _check_alike(one, handed[0])
    indices = [one.index for one in handed]
    chosen = sorted(handed, key=lambda one: one.index) if len(set(indices)) == len(indices) else list(handed)
    return [evolve(one, index=k) for k, one in enumerate(chosen)]


def _check_alike(one: HandedExpert, first: HandedExpert) -> None:
    pairs = (
        ("items", one.shape, first.shape),
        ("values", one.values, first.values),
        ("the schedule", one.schedule, first.schedule),
        ("the expert", without_training(one.expert), without_training(first.expert)),
    )
    for what, mine, its in pairs:
        if mine != its:
            raise ArtifactError(f"{one.folder}: {what}: {_difference(its, mine)}, compared with {first.folder}")


def without_training(expert: Mapping[str, Any]) -> dict[str, Any]:
    """What a family must agree on to load an expert; for how long it was trained is its owner's business."""
    return {name: value for name, value in expert.items() if name != "train"}


def _difference(old: Any, new: Any) -> str:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return "; ".join(diff(old, new))
    return f"{old} -> {new}"


def check_loads(one: HandedExpert, recipe: Recipe) -> None:
    """Raises ArtifactError, naming the folder, where its weights are not an expert of the kind that it says it is."""
    config = ExpertConfig(index=one.index, count=one.count, fraction=1.0, shape=one.shape)
    try:
        recipe.expert.build().load(config, one.tensors(), recipe.schedule.build())
    except MixvelError as error:
        text = str(error)
        raise ArtifactError(text if text.startswith(str(one.folder)) else f"{one.folder}: {text}") from None
    # Whatever a family stumbles over in the tensors of a stranger.
    except Exception as error:
        raise ArtifactError(f"{one.folder}: does not load ({type(error).__name__}: {one_line(str(error))})") from error


def away_shards(handed: Sequence[HandedExpert], folder: Path) -> tuple[AwayShard, ...]:
    """What is known of the shards, pi_k = n_k / n."""
    total = sum(one.count for one in handed)
    return tuple(
        AwayShard(
            folder=folder / str(one.index),
            index=one.index,
            count=one.count,
            fraction=one.count / total,
            shape=one.shape,
        )
        for one in handed
    )


def place_shards(handed: Sequence[HandedExpert], unit: Unit) -> Shards:
    """The shards of which little but the count is known; written, or found as they were written before.

    Raises UsageError where others are there.
    """
    parts = away_shards(handed, unit.folder)
    stored = stored_shards(unit)
    if stored is None:
        unit.clear()
        files = [_write_shard(part) for part in parts]
        total = sum(part.count for part in parts)
        about = {
            "shards": len(parts),
            "count": total,
            "shape": list(parts[0].shape),
            "provenance": {"source": f"{len(parts)} owners, who keep them", "count": str(total)},
        }
        write_json(unit.folder / "data.json", about)
        unit.close([*files, "data.json"])
        stored = open_shards(unit.folder, unit.digest())
    if stored.parts != parts:
        raise _other_experts(unit.folder.parent)
    return stored


def _write_shard(part: AwayShard) -> str:
    facts = {
        "away": True,
        "count": part.count,
        "fraction": part.fraction,
        "shape": list(part.shape),
        "labels": {},
    }
    write_json(part.folder / "shard.json", facts)
    return f"{part.index}/shard.json"


def place_expert(one: HandedExpert, stage: ExpertStage, run: Path) -> None:
    """The expert's folder in the run. Raises UsageError where another expert is there."""
    origin = stage.folder / "handed.json"
    mark = {"model": checksum(one.folder / MODEL)}
    if stage.unit.is_done():
        if not origin.exists() or read_json(origin) != mark:
            raise _other_experts(run)
        return
    stage.unit.clear()
    write_json(origin, mark)
    stage.store(one.tensors())


def _other_experts(run: Path) -> UsageError:
    return UsageError(f"{run}: assembled from other experts; choose another --out")
