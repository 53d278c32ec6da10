"""Dispatch: samples that chose expert k run together through expert k, or all through a network that experts share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import evolve, frozen
from torch import Tensor

from mixvel_core.errors import SamplingError
from mixvel_core.protocols import (
    Condition,
    ConditionalExpert,
    ConditionalGroup,
    Evaluations,
    Expert,
    ExpertGroup,
    Moments,
    NoiseSchedule,
)
from mixvel_core.sampling.residency import ResidentExpert, fetch_next, is_in_memory


def evaluate(
    experts: Sequence[Expert], x: Tensor, t: float, mask: Tensor, call: int = 1, condition: Condition | None = None
) -> Evaluations:
    """Evaluates exactly the selected (sample, expert) pairs.

    An expert that no sample selected is not touched, so one that loads on demand is not loaded. Experts that are one
    network evaluate all pairs together, B at a time, in the memory that one expert takes for all samples.

    Args:
        experts: K of them.
        x: points, (B, *data).
        t: their common time.
        mask: (B, K) bool. One that is on the CPU is read without waiting for the device of x.
        call: the number of this evaluation of the field, for messages.
        condition: of the first rows of x, as many as it has; the others have none.

    Returns:
        The evaluations, grouped by expert.
    """
    mask = mask.cpu()
    pairs = mask.T.nonzero()
    # Copies to a device that do not wait for what it computes.
    expert, sample = pairs.T.contiguous().to(x.device, non_blocking=True).unbind(0)
    group = group_of(experts)
    if group is not None:
        places = torch.tensor(members_of(experts))[pairs[:, 0]].to(x.device, non_blocking=True)
        return Evaluations(
            sample=sample, expert=expert, m=_evaluate_group(group, x, t, sample, places, call, condition)
        )
    counts = mask.sum(0).tolist()
    groups = torch.split_with_sizes(sample, counts)
    selected = [k for k, count in enumerate(counts) if count]
    # Those in memory first: where experts take turns in a small room, none is thrown out just before its turn.
    order = sorted(selected, key=lambda k: not is_in_memory(experts[k]))
    answers: dict[int, Tensor] = {}
    for place, k in enumerate(order):
        one = experts[k]
        if isinstance(one, ResidentExpert):
            # Its weights are the ones used last before others come: those on their way must not take its room.
            one.load_now()
        if place + 1 < len(order):
            fetch_next(experts[order[place + 1]])
        answers[k] = _evaluate_one(k, one, x, t, groups[k], call, condition)
    parts = [answers[k] for k in selected]
    m = torch.cat(parts) if len(parts) > 1 else parts[0] if parts else x[:0]
    return Evaluations(sample=sample, expert=expert, m=m)


def _evaluate_one(
    k: int, expert: Expert, x: Tensor, t: float, rows: Tensor, call: int, condition: Condition | None
) -> Tensor:
    """Expert k's answers for some rows of the batch."""
    # All rows in order: the batch itself, without a copy.
    points = x if len(rows) == len(x) else x[rows]
    if condition is not None and isinstance(expert, ConditionalExpert) and expert.null is not None:
        expert = expert.given(_of_rows(condition, expert.null, rows))
    m = expert.denoise(points, x.new_full((len(rows),), t))
    if m.shape != points.shape:
        raise SamplingError(
            f"expert {k} returned shape {tuple(m.shape)} for points of shape {tuple(points.shape)} at t={t:.4g}, "
            f"evaluation {call} of the field"
        )
    return m.to(x.dtype)


def _evaluate_group(
    group: ExpertGroup, x: Tensor, t: float, rows: Tensor, places: Tensor, call: int, condition: Condition | None
) -> Tensor:
    """The answers of members ``places``, (E,), for ``rows`` of the batch, (E,)."""
    answers = [x[:0]]
    for start in range(0, len(rows), max(1, len(x))):
        some = rows[start : start + len(x)]
        made = group
        if condition is not None and isinstance(group, ConditionalGroup) and group.null is not None:
            made = group.given(_of_rows(condition, group.null, some))
        m = made.denoise(x[some], x.new_full((len(some),), t), places[start : start + len(x)])
        if m.shape != (len(some), *x.shape[1:]):
            raise SamplingError(
                f"the experts' one network returned shape {tuple(m.shape)} for points of shape "
                f"{(len(some), *x.shape[1:])} at t={t:.4g}, evaluation {call} of the field"
            )
        answers.append(m.to(x.dtype))
    return torch.cat(answers)


def _of_rows(condition: Condition, null: Condition, rows: Tensor) -> Condition:
    """The condition of ``rows``, (E,), the null one for those behind its last."""
    read = Condition(values={name: condition.values[name] for name in null.values})
    inside = rows < len(read)
    if len(rows) == 0:
        return read.rows(rows)
    return read.rows(rows.clamp_max(len(read) - 1)).where(inside, null.to(rows.device))


@frozen(kw_only=True, eq=False)
class GroupMember:
    """Expert ``index`` of ``group``."""

    group: ExpertGroup
    index: int

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule of the group, which all its experts share."""
        return self.group.schedule

    @property
    def moments(self) -> Moments | None:
        """Of the member's own shard."""
        return self.group.moments(self.index)

    @property
    def null(self) -> Condition | None:
        """The null condition of the group; None where it reads none."""
        return self.group.null if isinstance(self.group, ConditionalGroup) else None

    def given(self, condition: Condition) -> GroupMember:
        """The same member of the group under a condition, row by row."""
        return evolve(self, group=self.group.given(condition)) if isinstance(self.group, ConditionalGroup) else self

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """m(x, t), (B, *data), of this member for all rows."""
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


def members_of(experts: Sequence[Expert]) -> list[int]:
    """Which member of its group each expert is."""
    return [expert.index for expert in experts if isinstance(expert, GroupMember)]
