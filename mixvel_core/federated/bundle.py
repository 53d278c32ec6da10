"""A bundle: an expert as its owner shares it, a folder with all that is shared of a shard and nothing else of it.

``config.json`` describes it; ``model.safetensors`` holds the weights and, under their checksum, the same description,
so that neither can be exchanged alone; ``moments.safetensors`` is there if mean and variance are shared;
``gaussians.safetensors``, which holds the description too, if principal components or k-means Gaussians are;
``done.json`` lists the checksum of every file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from attrs import frozen

from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.artifacts.files import check_fits_memory, read_json, write_json
from mixvel_core.data.conditions import class_counts_of, class_spec, facts_of_specs
from mixvel_core.data.items import spans
from mixvel_core.errors import ArtifactError, DataError, UsageError
from mixvel_core.federated.share import Share, share_of, shared_gaussians
from mixvel_core.federated.shared_conditions import read_class_counts, read_conditions
from mixvel_core.pipeline.experts import StoredExpert
from mixvel_core.pipeline.jobs import MODEL, MOMENTS
from mixvel_core.pipeline.shards import GAUSSIANS
from mixvel_core.protocols import ConditionSpec, DiscreetFamily, ExpertFamily, Items, Shard
from mixvel_core.recipe.dump import plain

if TYPE_CHECKING:
    from torch import Tensor

Values: TypeAlias = Literal["-1..1", "any"]
"""The range of the items: images and whatever else is scaled to [-1, 1], or free numbers."""

FORMAT = 2
"""Of a bundle; others are refused."""
CONFIG = "config.json"
INITIAL = "initial"
"""The option of trained families that names a folder of weights to start from."""
FILES = (CONFIG, MODEL, MOMENTS, GAUSSIANS, "done.json")
_MOST, _MOST_SIDES = 1 << 40, 8
"""Of items, and of values of one: more than anyone has."""


@frozen(kw_only=True)
class ExpertBundle:
    """The expert of a folder, as its ``config.json`` describes it.

    ``index``: k in the owner's own counting. ``count``: items it was trained on. ``expert``, ``schedule``: as a recipe
    writes them, with every option. ``conditions``: what it reads. ``class_counts``: how many items have each class,
    where that is shared.
    """

    folder: Path
    index: int
    count: int
    shape: tuple[int, ...]
    values: Values | None
    share: Share
    expert: Mapping[str, Any]
    schedule: Mapping[str, Any]
    conditions: tuple[ConditionSpec, ...] = ()
    class_counts: tuple[int, ...] = ()

    def tensors(self) -> dict[str, Tensor]:
        """What the expert's family loads it from. Raises ArtifactError where it is not the file that
        was bundled with ``config.json``."""
        return self._described(MODEL)

    def check_gaussians(self) -> None:
        """Raises ArtifactError where the Gaussians are missing, or were not bundled with ``config.json``."""
        if self.share.has_gaussians:
            self._described(GAUSSIANS)

    def _described(self, name: str) -> dict[str, Tensor]:
        """The tensors of a file that holds the same description as ``config.json``."""
        from mixvel_core.artifacts.tensors import read_checksummed

        tensors, metadata = read_checksummed(self.folder / name)
        if metadata.get("about") != read_json(self.folder / CONFIG):
            raise ArtifactError(f"{self.folder}: {CONFIG} and {name} are not of one expert; ask its owner for it again")
        return tensors


def check_share(share: Share, family: ExpertFamily, name: str) -> None:
    """Raises UsageError or RecipeError where experts of the family called ``name`` cannot keep their moments."""
    if share.moments:
        return
    if not isinstance(family, DiscreetFamily):
        raise UsageError(f"--share count: experts {name} cannot do without the moments of their shard; share them")
    family.without_moments({})


def write_bundle(stored: StoredExpert, shard: Shard, share: Share, folder: Path) -> None:
    """Writes the folder of a trained expert.

    Args:
        stored: the expert.
        shard: it was trained on; none of its items is written.
        share: what is shared of them.
        folder: where it goes; holds no other files.

    Raises:
        DataError: the expert is made of the items themselves, or a Gaussian would be.
        UsageError, RecipeError: it cannot do without what is not shared.
    """
    from mixvel_core.artifacts.tensors import read_tensors, write_checksummed

    tensors = read_tensors(stored.folder / MODEL)
    config, family = stored.config, stored.family.build()
    refuse_items(tensors, config.count, config.shape, f"experts {stored.family.name}")
    check_share(share, family, stored.family.name)
    if not share.moments and isinstance(family, DiscreetFamily):
        tensors = dict(family.without_moments(tensors))
    gaussians = shared_gaussians(share, shard) if share.has_gaussians else None
    about = {
        "format": FORMAT,
        "index": config.index,
        "count": config.count,
        "shape": list(config.shape),
        "values": values_of(shard.items),
        "share": str(share),
        "expert": shared_options(plain(stored.family)),
        "schedule": plain(stored.schedule),
        **facts_of_specs(config.conditions),
        **({"class_counts": list(class_counts_of(shard))} if share.labels else {}),
    }
    artifact = Artifact(folder=folder, key=key_of(**about))
    artifact.clear()
    files = [MODEL, CONFIG]
    write_checksummed(folder / MODEL, tensors, {"expert": stored.family.name, "about": about})
    moments = stored.moments() if share.moments else None
    if moments is not None:
        shared = {"mean": moments.mean, "variance": moments.variance}
        write_checksummed(folder / MOMENTS, shared, {"expert": stored.family.name})
        files.append(MOMENTS)
    if gaussians is not None:
        write_checksummed(folder / GAUSSIANS, gaussians.tensors(), {"expert": stored.family.name, "about": about})
        files.append(GAUSSIANS)
    write_json(folder / CONFIG, about)
    artifact.commit(files)


def shared_options(expert: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an expert as they travel: without the folder of its initial weights, which is its owner's and of
    no use once it is trained."""
    return {name: value for name, value in expert.items() if name != INITIAL}


def check_files(folder: Path) -> None:
    """Raises ArtifactError where a file of an expert's folder is a link, or longer than this machine's memory."""
    for name in FILES:
        if (folder / name).is_symlink():
            raise ArtifactError(f"{folder / name}: a link; a bundle has its files in its own folder")
        if (folder / name).exists():
            check_fits_memory(folder / name)


def read_bundle(folder: Path) -> ExpertBundle:
    """The expert in ``folder``, every file of which is as its owner wrote it.

    Raises:
        DataError: there is no expert.
        ArtifactError: there is something else, or it is damaged; names the folder.
    """
    check_files(folder)
    if not (folder / CONFIG).is_file():
        raise DataError(
            f"{folder}: no expert here ({CONFIG} is missing); `mixvel train RECIPE --expert K --out {folder}` makes one"
        )
    about = read_json(folder / CONFIG)
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise ArtifactError(f"{folder}: not written by `mixvel train`; name the folder that it wrote")
    if about["format"] != FORMAT:
        whose = "a later" if about["format"] > FORMAT else "an earlier"
        raise ArtifactError(
            f"{folder}: written by {whose} mixvel (format {about['format']}, here {FORMAT}); take that version"
        )
    artifact = Artifact(folder=folder, key=key_of(**about))
    if not artifact.is_done(verify=True):
        changed = artifact.first_damaged(verify=True) or folder
        raise ArtifactError(f"{changed}: damaged, or changed since its owner wrote it; ask its owner for it again")
    try:
        shape = tuple(_integer(side, 1) for side in about["shape"])
        if len(shape) > _MOST_SIDES or math.prod(shape) > _MOST:
            raise ValueError(f"items of {len(shape)} dimensions and {math.prod(shape):.0e} values")
        count, share = _integer(about["count"], 1), share_of(about["share"])
        if share.rank >= max(1, min(count, math.prod(shape))) or share.components > count:
            raise ValueError(f"{share} of {count} items of {math.prod(shape)} numbers")
        conditions = read_conditions(about)
        of_class = class_spec(conditions)
        return ExpertBundle(
            folder=folder,
            index=_integer(about["index"], 0),
            count=count,
            shape=shape,
            values=_one_of(about["values"], get_args(Values)),
            share=share,
            expert=dict(about["expert"]),
            schedule=dict(about["schedule"]),
            conditions=conditions,
            class_counts=read_class_counts(about, share.labels, 0 if of_class is None else of_class.classes, count),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{folder / CONFIG}: not an expert's ({error}); ask its owner for it again") from None


def _integer(value: Any, least: int) -> int:
    if type(value) is not int or not least <= value <= _MOST:
        raise ValueError(f"{value!s:.40} is no whole number from {least} to {_MOST}")
    return value


def _one_of(value: Any, known: tuple[Any, ...]) -> Any:
    if value not in known:
        raise ValueError(f"{value!s:.40} is none of {', '.join(known)}")
    return value


def is_bundle(folder: Path, index: int, share: Share, stored: StoredExpert) -> bool:
    """Whether ``folder`` holds this expert, shared in this way, undamaged."""
    try:
        found = read_bundle(folder)
    except (DataError, ArtifactError):
        return False
    wanted = (index, share, shared_options(plain(stored.family)), plain(stored.schedule))
    return (found.index, found.share, found.expert, found.schedule) == wanted


def values_of(items: Items) -> Values:
    """Whether all items lie in [-1, 1]; bytes do by definition."""
    if items.dtype == np.uint8:
        return "-1..1"
    blocks = (items[first:last] for first, last in spans(items))
    return "-1..1" if all(bool((np.abs(block) <= 1.0).all()) for block in blocks) else "any"


def refuse_items(tensors: Mapping[str, Tensor], count: int, shape: tuple[int, ...], what: str) -> None:
    """Raises DataError, naming ``what`` they are of, where one of the tensors is ``count`` items of ``shape``."""
    size = count * int(np.prod(shape))
    for tensor, value in tensors.items():
        if count > 1 and value.ndim > 1 and value.shape[0] == count and value.numel() == size:
            raise DataError(f"{what} are made of the items themselves (tensor {tensor!r}); share one that is trained")
