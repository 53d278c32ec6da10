"""Conditions of items: labels, attributes or arrays of a file as classes or numbers that experts and routers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from attrs import asdict, frozen

from mixvel_core.artifacts.arrays import array_forms, map_array, read_arrays
from mixvel_core.data.items import Chosen
from mixvel_core.data.labels import are_integers
from mixvel_core.errors import DataError, MixvelError, did_you_mean
from mixvel_core.machine import from_home
from mixvel_core.protocols import CLASS, ConditionedShard, ConditionSpec, Data, Items, Shard, SharingShard

LABELS = "labels"
"""What a recipe writes for the labels of the data."""
FILES = (".npy", ".npz")
_FACTS = "conditions"
_MOST_CLASSES = 1 << 20


@frozen(kw_only=True, eq=False)
class ConditionColumn:
    """One condition of all items. ``values``: (n,) int64 in 0..C-1, or (n, *shape) float32."""

    spec: ConditionSpec
    values: Items


def is_file(source: str) -> bool:
    """Whether a recipe's ``condition`` names a file."""
    return source.endswith(FILES)


def condition_columns(data: Data, sources: Mapping[str, str] | None) -> tuple[ConditionColumn, ...]:
    """The conditions of a data set.

    Args:
        data: the items with their labels and attributes.
        sources: by the name of the condition: ``labels``, an attribute, or a .npy or .npz file with a row for each item
            (of a .npz file the array that is called as the condition, or its only one).

    Raises:
        DataError: there are no such values, there are more or fewer than items, or they are not what a condition can
            be: labels from 0 on, or finite numbers.
    """
    return tuple(_column(data, name, source) for name, source in (sources or {}).items())


def conditions_of(shard: Shard) -> tuple[ConditionSpec, ...]:
    """What is known of each item of a shard; empty where its items have no conditions."""
    return shard.conditions if isinstance(shard, ConditionedShard) else ()


def values_of(shard: Shard) -> Mapping[str, Items]:
    """The values of a shard's conditions, by name. Raises DataError where they stay with the owner of the items."""
    return shard.condition_values() if isinstance(shard, ConditionedShard) else {}


def class_spec(specs: Sequence[ConditionSpec]) -> ConditionSpec | None:
    """The condition ``class`` among others; None where there is none."""
    return next((spec for spec in specs if spec.name == CLASS), None)


def class_counts_of(shard: Shard) -> tuple[int, ...]:
    """How many items of a shard have class 0, 1, ..., C of them; empty where they have no classes, or their owner does
    not share it."""
    spec = class_spec(conditions_of(shard))
    if spec is None:
        return ()
    if isinstance(shard, SharingShard):
        return shard.class_counts
    return tuple(np.bincount(np.asarray(values_of(shard)[CLASS][:]), minlength=spec.classes).tolist())


def class_fractions(shards: Sequence[Shard]) -> tuple[tuple[float, ...], ...]:
    """p(c | k), K rows of C; empty where the items have no classes, or an owner does not share how many have each."""
    counts = [np.array(class_counts_of(shard)) for shard in shards]
    return tuple(tuple((count / count.sum()).tolist()) for count in counts) if all(map(len, counts)) else ()


def items_by_class(shards: Sequence[Shard]) -> list[list[Items]]:
    """For each class 0..C-1 the items of each shard that have it, in their order; nothing where items have no class."""
    spec = class_spec(conditions_of(shards[0]))
    if spec is None:
        return []
    labels = [np.asarray(values_of(shard)[CLASS][:]) for shard in shards]
    return [
        [Chosen(source=shard.items, rows=np.flatnonzero(own == c)) for shard, own in zip(shards, labels, strict=True)]
        for c in range(spec.classes)
    ]


def facts_of_specs(specs: Sequence[ConditionSpec]) -> dict[str, Any]:
    """Conditions as they stand in JSON files, under ``conditions``; nothing at all where there are none."""
    return {_FACTS: [asdict(spec) for spec in specs]} if specs else {}


def specs_of_facts(facts: Mapping[str, Any]) -> tuple[ConditionSpec, ...]:
    """The conditions in a JSON file. Raises KeyError or TypeError where they are not what ``facts_of_specs`` makes."""
    return tuple(
        ConditionSpec(name=one["name"], classes=one["classes"], shape=tuple(one["shape"]), labels=tuple(one["labels"]))
        for one in facts.get(_FACTS, ())
    )


def _column(data: Data, name: str, source: str) -> ConditionColumn:
    n, where = len(data.items), f"condition {name}"
    labels: tuple[str, ...] = ()
    if source == LABELS:
        if data.labels is None:
            raise DataError(f"{where}: the data have no labels{f'; {data.label_remedy}' if data.label_remedy else ''}")
        values, labels = data.labels, data.label_names
    elif is_file(source):
        values = _of_file(from_home(source), name)
    elif source in data.attributes:
        values = np.asarray(data.attributes[source])
    else:
        has = f"; they have {', '.join(data.attributes)}" if data.attributes else ", and no attributes at all"
        hint = did_you_mean(source, [LABELS, *data.attributes]) or has
        raise DataError(f"{where}: the data have no attribute {source!r}{hint}; write `labels`, one of these or a file")
    if values.shape[:1] != (n,):
        raise DataError(f"{where}: {source} has values of shape {values.shape} for {n} items; give a row for each item")
    if values.dtype == bool:
        labels = (f"not {source}", source)
    if name == CLASS or values.dtype.kind in "biu":
        return _classes(values, name, labels, f"{where}: {source}")
    return _numbers(values, name, f"{where}: {source}")


def _classes(values: np.ndarray, name: str, labels: tuple[str, ...], where: str) -> ConditionColumn:
    if values.ndim != 1 or not (values.dtype.kind in "biu" or are_integers(np.asarray(values))):
        raise DataError(f"{where}: classes are whole numbers, one for each item, not {values.dtype} {values.shape}")
    found = np.asarray(values).astype(np.int64)
    if int(found.min()) < 0 or int(found.max()) >= _MOST_CLASSES:
        raise DataError(f"{where}: classes go from {found.min()} to {found.max()}; number them 0, 1, ...")
    spec = ConditionSpec(name=name, classes=max(int(found.max()) + 1, len(labels)), labels=labels)
    return ConditionColumn(spec=spec, values=found)


def _numbers(values: np.ndarray, name: str, where: str) -> ConditionColumn:
    if values.dtype.kind != "f":
        raise DataError(f"{where}: {values.dtype} values are no condition; give whole numbers or float32")
    if not all(np.isfinite(values[first : first + 4096]).all() for first in range(0, len(values), 4096)):
        raise DataError(f"{where}: values that are not finite; leave such items out, or mend them")
    return ConditionColumn(spec=ConditionSpec(name=name, shape=values.shape[1:]), values=cast(Items, values))


def _of_file(path: Path, name: str) -> np.ndarray:
    def refuse(path: Path, reason: str) -> MixvelError:
        return DataError(f"condition {name}: {path}: cannot be read ({reason})")

    if path.suffix == ".npy":
        return map_array(path, refuse)
    arrays = list(array_forms(path, refuse))
    wanted = arrays[0] if len(arrays) == 1 else name
    return read_arrays(path, wanted, refuse=refuse)[0]


def condition_file(name: str) -> str:
    """The file of a condition in the folder of a shard."""
    return f"condition-{name}.npy"
