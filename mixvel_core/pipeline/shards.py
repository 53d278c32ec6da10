"""Shards in a run folder: each in files of its own, NumPy or Parquet, so that a job can be given one and no other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import asdict, evolve, field, frozen

from mixvel_core.artifacts.arrays import array_forms, map_array, read_arrays
from mixvel_core.artifacts.artifact import Artifact
from mixvel_core.artifacts.files import read_json, write_json
from mixvel_core.data.conditions import condition_file, conditions_of, facts_of_specs, specs_of_facts, values_of
from mixvel_core.data.items import joined
from mixvel_core.data.parquet_items import STREAM, read_stream
from mixvel_core.errors import ArtifactError, DataError
from mixvel_core.pipeline.codecs import CODEC, FittedCodec, StoredCodec, stored_codec
from mixvel_core.pipeline.jobs import MOMENTS
from mixvel_core.protocols import ConditionSpec, GaussianLaw, Items, Moments, Shard

if TYPE_CHECKING:
    from torch import Tensor


LAW = ("weights", "means", "covariances")
CLASSES = "classes"
"""Beside these in `law.npz`, where each component has one class."""
GAUSSIANS = "gaussians.safetensors"
"""Of a shard that is with its owner, where more than its mean and variance is shared."""


@frozen(kw_only=True)
class StoredShard:
    """One shard: ``items.npy`` (memory-mapped when read) or ``stream.json`` (which lists Parquet files), ``shard.json``
    and, for exact data, ``law.npz``."""

    folder: Path
    index: int
    count: int
    fraction: float
    shape: tuple[int, ...]
    conditions: tuple[ConditionSpec, ...] = ()

    def condition_values(self) -> Mapping[str, Items]:
        """The conditions of its items, by name: files `condition-NAME.npy`, memory-mapped."""
        return {spec.name: map_array(self.folder / condition_file(spec.name)) for spec in self.conditions}

    @property
    def items(self) -> Items:
        if (self.folder / STREAM).exists():
            return read_stream(self.folder)
        return map_array(self.folder / "items.npy")

    @property
    def law(self) -> GaussianLaw | None:
        """The law of the items, if it is known in closed form."""
        path = self.folder / "law.npz"
        if not path.exists():
            return None
        names = (*LAW, CLASSES) if CLASSES in array_forms(path) else LAW
        return GaussianLaw(**dict(zip(names, read_arrays(path, *names), strict=True)))


@frozen(kw_only=True)
class RemoteShard(StoredShard):
    """A shard that is with its owner: what is shared of it is here, its items are not.

    ``rank``, ``components``: of the Gaussians that are shared beside mean and variance; 0 and 1 where none are.
    ``class_counts``: how many of its items have class 0, 1, ...; empty where that is not shared. ``shared_from``: the
    folder of what is shared; absent: its own.
    """

    rank: int = 0
    components: int = 1
    class_counts: tuple[int, ...] = ()
    shared_from: Path | None = field(default=None, eq=False)

    @property
    def origin(self) -> str:
        """The folder of what is shared, for messages."""
        return str(self.shared_from or self.folder)

    def shared_moments(self) -> Moments | None:
        """Mean and variance of its items; None where they are not shared. Raises ArtifactError where the file is not of
        such items."""
        from mixvel_core.artifacts.tensors import read_tensors

        path = (self.shared_from or self.folder) / MOMENTS
        if not path.exists():
            return None
        found = read_tensors(path)
        if set(found) != {"mean", "variance"} or any(tuple(one.shape) != self.shape for one in found.values()):
            raise ArtifactError(f"{path}: not the moments of items of shape {self.shape}; ask its owner for it again")
        if not all(bool(one.isfinite().all()) for one in found.values()):
            raise ArtifactError(f"{path}: moments that are not finite; ask its owner for it again")
        return Moments(**found)

    def shared_gaussians(self) -> Mapping[str, Tensor] | None:
        """Principal components or k-means Gaussians of its items, the fields of ``ShardGaussians`` by name; None where
        neither are shared. Raises ArtifactError where the file is not of such Gaussians."""
        from mixvel_core.artifacts.tensors import read_tensors
        from mixvel_core.field.gaussians import check_gaussians

        if self.rank == 0 and self.components == 1:
            return None
        path = (self.shared_from or self.folder) / GAUSSIANS
        found = read_tensors(path)
        check_gaussians(found, math.prod(self.shape), self.rank, self.components, str(path))
        return found

    def check_shared(self) -> None:
        """Raises ArtifactError, naming the file, where what is shared is not what it is called."""
        self.shared_moments()
        self.shared_gaussians()

    @property
    def items(self) -> np.ndarray:
        """Raises DataError: whatever needs items cannot be made here."""
        raise DataError(f"shard {self.index}: its items stay with their owner; choose what can do without them")

    def condition_values(self) -> Mapping[str, Items]:
        """Raises DataError: they stay with the items."""
        raise DataError(f"shard {self.index}: its conditions stay with its owner; choose what can do without them")


@frozen(kw_only=True)
class CheckpointShard(RemoteShard):
    """The shard of an expert that was there already (``CheckpointFamily``): of its items only the shape is known, and
    what conditions the expert reads."""


@frozen(kw_only=True)
class JoinedShard:
    """All shards as one, for the monolith: index -1, fraction 1."""

    parts: tuple[Shard, ...]
    index: int = -1
    fraction: float = 1.0

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.parts[0].shape

    @property
    def items(self) -> Items:
        """The items, shard after shard, each where it lies."""
        return joined(*(part.items for part in self.parts))

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """Of all shards alike."""
        return conditions_of(self.parts[0])

    def condition_values(self) -> Mapping[str, Items]:
        """The conditions of the items, shard after shard."""
        parts = [values_of(part) for part in self.parts]
        return {spec.name: joined(*(part[spec.name] for part in parts)) for spec in self.conditions}

    @property
    def law(self) -> GaussianLaw | None:
        """The mixture of the shards' laws, if all are known."""
        laws = [part.law for part in self.parts]
        known = [law for law in laws if law is not None]
        if len(known) < len(laws):
            return None
        weights = [part.fraction * law.weights for part, law in zip(self.parts, known, strict=True)]
        classes = [law.classes for law in known if law.classes is not None]
        return GaussianLaw(
            weights=np.concatenate(weights),
            means=np.concatenate([law.means for law in known]),
            covariances=np.concatenate([law.covariances for law in known]),
            classes=np.concatenate(classes) if len(classes) == len(known) else None,
        )


@frozen(kw_only=True)
class Shards:
    """The artifact of the partition stage. ``key`` names its inputs; ``about`` is what is known of the data; ``codec``:
    what made its items, which are latents, of the data's; None where they are the data's own."""

    key: str
    parts: tuple[StoredShard, ...]
    about: dict[str, Any]
    codec: StoredCodec | None = None

    @property
    def as_one(self) -> JoinedShard:
        """The data set as one shard."""
        return JoinedShard(parts=self.parts)

    @property
    def are_local(self) -> bool:
        """Whether items can be read; in an assembled run they stay with their owners."""
        return are_local(self.parts)

    @property
    def fractions(self) -> tuple[float, ...]:
        """The shards' fractions pi, (K,)."""
        return tuple(part.fraction for part in self.parts)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one item, ``*data``; of one latent where there is a codec."""
        return self.parts[0].shape

    @property
    def data_shape(self) -> tuple[int, ...]:
        """The shape of one item of the data, decoded where there is a codec."""
        return self.shape if self.codec is None else self.codec.shape

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """What is known of each item; empty where the data have no conditions."""
        return self.parts[0].conditions


def are_local(parts: Sequence[Shard]) -> bool:
    """Whether the items of all these shards can be read."""
    return not any(isinstance(part, RemoteShard) for part in parts)


_KINDS: dict[object, type[StoredShard]] = {False: StoredShard, True: RemoteShard, "checkpoint": CheckpointShard}
"""Which shards are here, by what `shard.json` calls ``remote``."""


def write_remote(
    parts: Sequence[RemoteShard], artifact: Artifact, provenance: Mapping[str, str], codec: FittedCodec | None = None
) -> Shards:
    """Shards without items, as the artifact of the partition stage; what was there is cleared."""
    from mixvel_core.artifacts.tensors import write_checksummed

    artifact.clear()
    files = ["data.json"] if codec is None else ["data.json", CODEC]
    for part in parts:
        moments = part.shared_moments()
        stored = None if moments is None else asdict(moments, recurse=False)
        shared = {MOMENTS: stored, GAUSSIANS: part.shared_gaussians()}
        for name, tensors in shared.items():
            if tensors is not None:
                write_checksummed(part.folder / name, tensors, {"shard": str(part.index)})
                files.append(f"{part.index}/{name}")
        files.append(f"{part.index}/shard.json")
        facts: dict[str, object] = {
            "remote": "checkpoint" if isinstance(part, CheckpointShard) else True,
            "count": part.count,
            "fraction": part.fraction,
            "shape": list(part.shape),
            "labels": {},
        }
        facts |= facts_of_specs(part.conditions) | (
            {"class_counts": list(part.class_counts)} if part.class_counts else {}
        )
        if part.rank > 0 or part.components > 1:
            facts["gaussians"] = {"rank": part.rank, "components": part.components}
        write_json(part.folder / "shard.json", facts)
    about = {
        "shards": len(parts),
        "count": sum(part.count for part in parts),
        "shape": list(parts[0].shape),
        "provenance": dict(provenance),
        **({} if codec is None else codec.store(artifact.folder, provenance)),
    }
    write_json(artifact.folder / "data.json", about)
    artifact.commit(files)
    return open_shards(artifact.folder, artifact.digest())


def open_shards(folder: Path, key: str) -> Shards:
    """The shards in ``folder``, written by the partition stage. Reads no items."""
    about = read_json(folder / "data.json")
    parts: list[StoredShard] = []
    try:
        for k in range(about["shards"]):
            facts = read_json(folder / str(k) / "shard.json")
            kind = _KINDS[facts.get("remote", False)]
            count, fraction, shape = facts["count"], facts["fraction"], tuple(facts["shape"])
            # Of remote shards: the rank, the components and the class counts that are shared, if any.
            shared = facts.get("gaussians", {})
            if "class_counts" in facts:
                shared = {**shared, "class_counts": tuple(facts["class_counts"])}
            made = kind(folder=folder / str(k), index=k, count=count, fraction=fraction, shape=shape, **shared)
            parts.append(evolve(made, conditions=specs_of_facts(facts)))
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{folder}: not what a partition writes ({error}); remove it and run again") from None
    return Shards(key=key, parts=tuple(parts), about=about, codec=stored_codec(folder, about))
