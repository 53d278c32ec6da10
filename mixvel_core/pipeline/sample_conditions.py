"""Conditions of samples: what sample i is asked to be, a function of what is asked for, of the seed and of i."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from mixvel_core.artifacts.arrays import array_forms, read_arrays
from mixvel_core.artifacts.files import digest_of
from mixvel_core.data.conditions import class_spec, values_of
from mixvel_core.data.items import joined
from mixvel_core.errors import MixvelError, UsageError, did_you_mean
from mixvel_core.protocols import CLASS, ConditionSpec, Shard

if TYPE_CHECKING:
    from mixvel_core.protocols import Condition

Wanted: TypeAlias = Literal["auto", "balanced", "from-data"] | tuple[int | str, ...] | None
"""As a recipe writes it in ``sample.condition``."""
ConditionChoice: TypeAlias = str | tuple[int, ...] | None
"""``balanced``, ``from-data``, classes in turn, the digest of rows that are given; None for the null condition."""

BALANCED, FROM_DATA = "balanced", "from-data"
_FEW = 12


def condition_choice(wanted: Wanted, specs: Sequence[ConditionSpec]) -> ConditionChoice:
    """What of a recipe's ``sample.condition`` the samples depend on.

    Args:
        wanted: as it is written.
        specs: the conditions of the items; empty where they have none, and samples have none then.

    Raises:
        UsageError: there is no such class, or conditions besides the class would have no values.
    """
    if wanted is None or not specs:
        return None
    only_class = [spec.name for spec in specs] == [CLASS]
    if wanted == "auto":
        return BALANCED if only_class else FROM_DATA
    if wanted == FROM_DATA:
        return FROM_DATA
    spec = class_spec(specs)
    if spec is None:
        raise UsageError(f"the items have no class, but {_others(specs)}; take from-data, or a file of these")
    if not only_class:
        raise UsageError(f"classes alone leave {_others(specs)} without values; take from-data, or a file of them")
    return BALANCED if wanted == BALANCED else tuple(class_numbers(wanted, spec))


def class_numbers(classes: Sequence[int | str], spec: ConditionSpec) -> list[int]:
    """Classes by number or name, as numbers in 0..C-1. Raises UsageError where there is no such class."""
    return [_number(one, spec) for one in classes]


def rows_of(
    choice: ConditionChoice, count: int, seed: int, specs: Sequence[ConditionSpec], shards: Sequence[Shard]
) -> Any:
    """The condition of samples 0 to ``count`` - 1, a ``Condition``; None for the null one.

    Sample i has class i mod C where classes are balanced, the i-th of a list that starts again at its end, or the
    conditions of an item that is a function of (seed, i).

    Args:
        choice: what is asked for, other than given rows.
        count: of samples.
        seed: of the samples.
        specs: the conditions of the items.
        shards: whose items have them.

    Raises DataError where they stay with the owners of the items.
    """
    import torch

    from mixvel_core.protocols import Condition

    if choice is None:
        return None
    if choice == FROM_DATA:
        return Condition(values=_of_items(count, seed, shards))
    spec = class_spec(specs)
    classes = tuple(range(spec.classes)) if spec is not None and choice == BALANCED else choice
    turn = torch.tensor([int(one) for one in classes or ()])
    return Condition(values={CLASS: turn[torch.arange(count) % len(turn)]})


def given_condition(values: Mapping[str, Any], specs: Sequence[ConditionSpec]) -> Condition:
    """Rows that are given, by name, as a condition that the models of a run can read.

    Args:
        values: classes by number or name, one or several; of other names arrays (B, *shape).
        specs: the conditions of the run's items.

    Raises:
        UsageError: a name is missing or unknown, there is no such class, values have another shape, are not finite, or
            are more for one name than for another.
    """
    import torch

    from mixvel_core.protocols import Condition

    if not specs:
        raise UsageError("a condition is given, and the run has none: its recipe has no `condition`")
    known = [spec.name for spec in specs]
    for name in values:
        if name not in known:
            raise UsageError(f"no condition is called {name!r}{did_you_mean(name, known)}  (there: {', '.join(known)})")
    if missing := [name for name in known if name not in values]:
        raise UsageError(f"the condition lacks {', '.join(missing)}; it gives {', '.join(values) or 'nothing'}")
    found = {spec.name: torch.from_numpy(_rows(values[spec.name], spec)) for spec in specs}
    lengths = {name: len(one) for name, one in found.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{length} of {name}" for name, length in lengths.items())
        raise UsageError(f"the condition has rows of several lengths: {listed}; give as many of each")
    return Condition(values=found)


def rows_in(path: Path, specs: Sequence[ConditionSpec], count: int) -> Condition:
    """The rows in an NPZ file of arrays by name, as ``count`` of them; one row is that of all.

    Raises UsageError as ``given_condition`` does, naming the file, and where there is another number of rows.
    """

    def refuse(path: Path, reason: str) -> MixvelError:
        return UsageError(f"{path}: cannot be read ({reason}); a condition is an .npz file of arrays by name")

    names = list(array_forms(path, refuse))
    arrays = dict(zip(names, read_arrays(path, *names, refuse=refuse), strict=True))
    try:
        found = given_condition(arrays, specs)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    if len(found) not in (1, count):
        raise UsageError(f"{path}: {len(found)} rows for {count} samples; give one for each (--count), or one for all")
    return found if len(found) == count else found.repeated(count)


def digest_of_rows(rows: Condition) -> str:
    """What rows that are given are known by, in the keys of their samples."""
    arrays = {name: np.ascontiguousarray(value.cpu().numpy()) for name, value in rows.values.items()}
    parts = {name: (str(one.dtype), one.shape, hashlib.blake2b(one.data).hexdigest()) for name, one in arrays.items()}
    return digest_of({name: list(map(str, part)) for name, part in sorted(parts.items())})


def _of_items(count: int, seed: int, shards: Sequence[Shard]) -> dict[str, Any]:
    """The conditions of ``count`` items at random, by name."""
    import torch

    from mixvel_core.randomness import key, uniform

    parts = [values_of(shard) for shard in shards]
    found: dict[str, Any] = {}
    for name in parts[0]:
        every = joined(*(part[name] for part in parts))
        place = uniform(key(seed, "condition"), torch.arange(count), 0)
        rows = (place * len(every)).long().clamp_max(len(every) - 1).numpy()
        found[name] = torch.from_numpy(np.array(every[rows]))
    return found


def _rows(values: Any, spec: ConditionSpec) -> np.ndarray:
    if spec.classes:
        listed = [values] if isinstance(values, int | str) else list(np.asarray(values).reshape(-1).tolist())
        return np.array(class_numbers(listed, spec), dtype=np.int64)
    found = np.asarray(values)
    if found.dtype.kind not in "fiu" or found.shape[1:] != spec.shape or found.ndim < 1:
        raise UsageError(f"condition {spec.name}: values of shape {found.shape}; give (rows, {_sides(spec.shape)})")
    if not np.isfinite(found).all():
        raise UsageError(f"condition {spec.name}: values that are not finite")
    return found.astype(np.float32)


def _number(wanted: object, spec: ConditionSpec) -> int:
    number = spec.labels.index(wanted) if isinstance(wanted, str) and wanted in spec.labels else wanted
    if isinstance(number, str) and number.isdecimal():
        number = int(number)
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < spec.classes:
        return number
    if isinstance(wanted, str) and not wanted.lstrip("-").isdecimal() and spec.labels:
        few = ", ".join(spec.labels[:_FEW]) + (", ..." if len(spec.labels) > _FEW else "")
        raise UsageError(f"no class is called {wanted!r}{did_you_mean(wanted, spec.labels)}  (classes: {few})")
    raise UsageError(f"there is no class {wanted!r}; classes are 0 to {spec.classes - 1}")


def _others(specs: Sequence[ConditionSpec]) -> str:
    return ", ".join(spec.name for spec in specs if spec.name != CLASS)


def _sides(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))
