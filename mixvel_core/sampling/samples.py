"""Samples with what they cost, and how those of several batches become one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import asdict, frozen
from torch import Tensor


@frozen(kw_only=True, eq=False)
class Samples:
    """``x``: (count, *data). ``evaluations``: expert calls of each sample, (count,). ``times``: of the calls of the
    field, (calls,). ``usage``: the share of samples that evaluated each expert at each call, (calls, K). ``origin``: of
    the experts evaluated at the last call, the one of the most weight, (count,)."""

    x: Tensor
    evaluations: Tensor
    times: Tensor
    usage: Tensor
    origin: Tensor

    def cpu(self) -> Samples:
        """The same, in the memory of the CPU."""
        return Samples(**{name: value.cpu() for name, value in asdict(self, recurse=False).items()})


def cuts(count: int, batch: int) -> list[tuple[int, int]]:
    """First and last + 1 of the samples that are moved together, of ``count``."""
    return [(first, min(first + batch, count)) for first in range(0, count, batch)]


def joined(parts: Sequence[Samples]) -> Samples:
    """Samples of several parts as one, in the order of the parts."""
    sizes = torch.tensor([len(part.x) for part in parts], dtype=torch.float32, device=parts[0].usage.device)
    return Samples(
        x=torch.cat([part.x for part in parts]),
        evaluations=torch.cat([part.evaluations for part in parts]),
        times=parts[0].times,
        usage=torch.einsum("p,pck->ck", sizes / sizes.sum(), torch.stack([part.usage for part in parts])),
        origin=torch.cat([part.origin for part in parts]),
    )
