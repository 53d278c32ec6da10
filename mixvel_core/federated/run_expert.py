"""Experts as they lie in a run folder of one's own: they are assembled like those that owners have bundled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mixvel_core.artifacts.artifact import Artifact
from mixvel_core.artifacts.files import read_json
from mixvel_core.errors import ArtifactError, DataError, UsageError
from mixvel_core.federated.bundle import (
    CONFIG,
    ExpertBundle,
    Values,
    check_files,
    read_bundle,
    shared_options,
    values_of,
)
from mixvel_core.federated.share import Share
from mixvel_core.pipeline.codecs import CODEC
from mixvel_core.pipeline.experts import config_of
from mixvel_core.pipeline.jobs import MODEL, MOMENTS
from mixvel_core.pipeline.shards import StoredShard

if TYPE_CHECKING:
    from torch import Tensor


@frozen(kw_only=True)
class RunExpert(ExpertBundle):
    """``experts/K`` of a run. Of its shard it has the count, and mean and variance if the expert keeps them."""

    def tensors(self) -> dict[str, Tensor]:
        """What the expert's family loads it from."""
        from mixvel_core.artifacts.tensors import read_tensors

        return read_tensors(self.folder / MODEL)


def read_expert(folder: Path) -> ExpertBundle:
    """The expert in ``folder``, a bundle or a folder of a run's ``experts/``; every file is as it was written.

    Raises:
        DataError: there is no expert, or it is not trained to its end.
        UsageError: there is a network of all experts, or a monolith.
        ArtifactError: there is something else, or it is damaged; names the folder.
    """
    if not (folder / CONFIG).is_file() and ((folder / "state").is_dir() or (folder / "started.json").is_file()):
        run = folder.parent.parent
        again = f"`mixvel run {run / 'recipe.yaml'} --out {run}`"
        raise DataError(f"{folder}: not trained to its end; leave it out, or go on with {again}")
    about = _about(folder)
    if about is None:
        return read_bundle(folder)
    artifact = Artifact(folder=folder, key="")
    if not artifact.has_undamaged_files(verify=True):
        raise ArtifactError(f"{folder}: damaged, or changed since its run wrote it; run its recipe again to mend it")
    if (folder.parent.parent / "shards" / CODEC).exists():
        raise UsageError(f"{folder}: an expert of a codec's latents, which cannot be assembled; name one of items")
    config = config_of(about, folder / CONFIG)
    if config.index < 0:
        raise UsageError(f"{folder}: a monolith, and no expert of a shard; name folders of experts/")
    shard = StoredShard(
        folder=folder.parent.parent / "shards" / str(config.index),
        index=config.index,
        count=config.count,
        fraction=config.fraction,
        shape=config.shape,
    )
    return RunExpert(
        folder=folder,
        index=config.index,
        count=config.count,
        shape=config.shape,
        values=_values(shard),
        share=Share(moments=(folder / MOMENTS).is_file()),
        expert=shared_options(about["expert"]),
        schedule=about["schedule"],
        conditions=config.conditions,
    )


def _about(folder: Path) -> dict[str, Any] | None:
    """The configuration of an expert of a run; None where the folder holds something else."""
    if not (folder / CONFIG).is_file() or (folder / CONFIG).is_symlink():
        return None
    about = read_json(folder / CONFIG)
    if not isinstance(about, dict) or "format" in about or not isinstance(about.get("schedule"), dict):
        return None
    check_files(folder)
    if "experts" in about:
        raise UsageError(
            f"{folder}: one network of all experts (`expert.shared`), which cannot be assembled with others"
        )
    return about if isinstance(about.get("expert"), dict) else None


def _values(shard: StoredShard) -> Values | None:
    """The range of its items, where they are still beside it."""
    try:
        return values_of(shard.items)
    except (ArtifactError, DataError, OSError):
        return None
