"""Experts of a group, one at a time, as sampling sees them: like those with a network each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import Expert, ExpertGroup, Moments, NoiseSchedule


@frozen(kw_only=True, eq=False)
class GroupMember:
    """Expert ``index`` of ``group``."""

    group: ExpertGroup
    index: int

    @property
    def schedule(self) -> NoiseSchedule:
        """The group's."""
        return self.group.schedule

    @property
    def moments(self) -> Moments | None:
        """Of the member's own shard."""
        return self.group.moments(self.index)

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """The group's answer where every row asks this member."""
        return self.group.denoise(x, t, torch.full((len(x),), self.index, dtype=torch.int64, device=x.device))


def members(group: ExpertGroup, count: int) -> tuple[GroupMember, ...]:
    """Experts 0 to ``count - 1`` of a group."""
    return tuple(GroupMember(group=group, index=k) for k in range(count))


def group_of(experts: Sequence[Expert]) -> ExpertGroup | None:
    """The group that all of these experts are of; None where there is none."""
    first = experts[0] if experts else None
    if not isinstance(first, GroupMember):
        return None
    same = all(isinstance(expert, GroupMember) and expert.group is first.group for expert in experts)
    return first.group if same else None


def places_of(experts: Sequence[Expert], device: torch.device) -> Tensor:
    """Which member of its group each expert is, (K,) int64."""
    return torch.tensor([e.index for e in experts if isinstance(e, GroupMember)], dtype=torch.int64, device=device)
