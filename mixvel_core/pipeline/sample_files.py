"""Samples as files: NPZ archives of arrays by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import asdict, evolve, fields

from mixvel_core.artifacts.arrays import array_forms, read_arrays, write_arrays

if TYPE_CHECKING:
    from torch import Tensor

    from mixvel_core.sampling.samples import Samples

CONDITION = "condition."
"""Before the names of conditions among the arrays of samples."""


def write_samples(path: Path, samples: Samples, items: Tensor | None = None) -> None:
    """The NPZ file of samples: arrays ``x``, ``evaluations``, ``times``, ``usage`` and ``origin`` (see ``Samples``),
    `condition.NAME` of those under a condition, and ``items``, decoded of ``x``, where they are given."""
    written = asdict(evolve(samples, x=samples.x.float(), condition=None), recurse=False)
    given = {} if samples.condition is None else samples.condition.values
    written |= {CONDITION + name: value for name, value in given.items()} | {"items": items}
    write_arrays(path, {name: value.cpu().numpy() for name, value in written.items() if value is not None})


def read_samples(path: Path) -> Samples:
    """The samples in such a file. Raises ArtifactError where it is damaged."""
    import torch

    from mixvel_core.protocols import Condition
    from mixvel_core.sampling.samples import Samples

    given = conditions_in(path)
    names = [one.name for one in fields(Samples) if one.name != "condition"] + [CONDITION + name for name in given]
    found = dict(zip(names, map(torch.from_numpy, read_arrays(path, *names)), strict=True))
    values = {name: found.pop(CONDITION + name) for name in given}
    return Samples(**found, condition=Condition(values=values) if values else None)


def conditions_in(path: Path) -> list[str]:
    """The names of the conditions of samples in an NPZ file; empty where they have none."""
    return [name.removeprefix(CONDITION) for name in array_forms(path) if name.startswith(CONDITION)]
