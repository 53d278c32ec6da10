"""Samples with what they cost, and how those of several batches become one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import asdict, evolve, frozen
from torch import Tensor

from mixvel_core.protocols import Condition, followed
from mixvel_core.sampling.guided_field import SampledField


@frozen(kw_only=True, eq=False)
class Samples:
    """``x``: (count, *data). ``evaluations``: expert calls of each sample, (count,). ``times``: of the calls of the
    field, (calls,). ``usage``: the share of samples that evaluated each expert at each call, (calls, K). ``origin``: of
    the experts evaluated at the last call, the one of the most weight, (count,). ``condition``: of each, count rows;
    None for the null condition."""

    x: Tensor
    evaluations: Tensor
    times: Tensor
    usage: Tensor
    origin: Tensor
    condition: Condition | None = None

    def cpu(self) -> Samples:
        """The same, in the memory of the CPU."""
        tensors = asdict(evolve(self, condition=None), recurse=False)
        moved = {name: value.cpu() for name, value in tensors.items() if value is not None}
        return Samples(**moved, condition=None if self.condition is None else self.condition.to("cpu"))


def ended(x: Tensor, field: SampledField, condition: Condition | None) -> Samples:
    """The ends x of trajectories under a condition with what their field counted."""
    return Samples(
        x=x,
        evaluations=field.evaluations,
        times=torch.tensor(field.times, dtype=torch.float64),
        usage=torch.stack(field.usage),
        origin=field.origin,
        condition=condition,
    )


def cuts(count: int, batch: int) -> list[tuple[int, int]]:
    """First and last + 1 of the samples that are moved together, of ``count``."""
    return [(first, min(first + batch, count)) for first in range(0, count, batch)]


def joined(parts: Sequence[Samples]) -> Samples:
    """Samples of several parts as one, in the order of the parts."""
    given = [part.condition for part in parts if part.condition is not None]
    sizes = torch.tensor([len(part.x) for part in parts], dtype=torch.float32, device=parts[0].usage.device)
    return Samples(
        x=torch.cat([part.x for part in parts]),
        evaluations=torch.cat([part.evaluations for part in parts]),
        times=parts[0].times,
        usage=torch.einsum("p,pck->ck", sizes / sizes.sum(), torch.stack([part.usage for part in parts])),
        origin=torch.cat([part.origin for part in parts]),
        condition=followed(given) if given else None,
    )
