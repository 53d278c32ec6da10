"""Condition: what samples are asked to be, such as their class. ConditionalExpert, ConditionalRouter: who reads it.

An expert that reads conditions is at the same time an ordinary expert, that of the null condition: the denoiser of its
whole shard. ``given`` makes the one of a condition, row by row. So whatever knows no conditions goes on as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from attrs import field, frozen

from mixvel_core.protocols.expert import Expert, ExpertFamily, ExpertGroup
from mixvel_core.protocols.router import Router

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from attrs import Attribute
    from torch import Tensor

    from mixvel_core.protocols.condition_spec import ConditionSpec


def _of_one_length(instance: object, attribute: Attribute[Mapping[str, Tensor]], values: Mapping[str, Tensor]) -> None:
    lengths = {name: len(value) if value.ndim else None for name, value in values.items()}
    if not lengths or None in lengths.values() or len(set(lengths.values())) > 1:
        found = ", ".join(f"{name}: {tuple(value.shape)}" for name, value in values.items()) or "none at all"
        raise ValueError(f"a condition needs tensors of one length, (B, ...) each, not {found}")


@frozen(kw_only=True, eq=False)
class Condition:
    """Named values c, one row for each sample: ``values`` is, by name, (B, ...).

    ``class``: a label, (B,) int64. ``text``: embeddings, (B, L, D). Any other name is between an expert and its data.
    Raises ValueError where the lengths differ or there are no values.
    """

    values: Mapping[str, Tensor] = field(validator=_of_one_length)

    def __len__(self) -> int:
        """The number of rows, B."""
        return len(next(iter(self.values.values())))

    @property
    def names(self) -> frozenset[str]:
        """The names of the values that are given."""
        return frozenset(self.values)

    def rows(self, index: Tensor | slice) -> Condition:
        """Some of its rows, in the order of ``index``, (E,) int64."""
        return Condition(values={name: value[index] for name, value in self.values.items()})

    def to(self, device: torch.device | str) -> Condition:
        """The same on a device."""
        return Condition(values={name: value.to(device) for name, value in self.values.items()})

    def repeated(self, count: int) -> Condition:
        """``count`` rows like its only one."""
        return Condition(values={name: value.expand(count, *value.shape[1:]) for name, value in self.values.items()})

    def equals(self, row: Condition) -> Tensor:
        """Which of its rows have the values of ``row``, a condition of one row, in all names of that; (B,) bool."""
        import torch

        same = (self.values[name] == value.to(self.values[name].device) for name, value in row.values.items())
        return torch.stack([one.reshape(len(self), -1).all(1) for one in same]).all(0)

    def where(self, mask: Tensor, other: Condition) -> Condition:
        """Its rows where ``mask``, (B,) bool, and those of ``other``, which has one row or B, elsewhere."""
        import torch

        return Condition(
            values={
                name: torch.where(mask.view(-1, *[1] * (value.ndim - 1)), value, other.values[name].to(value.dtype))
                for name, value in self.values.items()
            }
        )


def followed(parts: Sequence[Condition]) -> Condition:
    """The rows of several conditions of the same names, one after the other."""
    import torch

    return Condition(values={name: torch.cat([part.values[name] for part in parts]) for name in parts[0].values})


@runtime_checkable
class ConditionalExpert(Expert, Protocol):
    """An expert m_k(x, t, c). Called as an ``Expert`` it is the one of the null condition."""

    @property
    def null(self) -> Condition | None:
        """The null condition, one row; its names are those that the expert reads. None where it reads none after all,
        as for a wrapper of an expert without conditions."""

    def given(self, condition: Condition) -> Self:
        """The expert of a condition: row i of what it denoises has row i of ``condition``.

        Args:
            condition: B rows, with at least the names of ``null``; others are left unread.
        """


@runtime_checkable
class ConditionalGroup(ExpertGroup, Protocol):
    """K conditional experts that are one network."""

    @property
    def null(self) -> Condition | None:
        """As of a ``ConditionalExpert``."""

    def given(self, condition: Condition) -> Self:
        """The same experts, each of row i's condition for row i."""


@runtime_checkable
class ConditionalFamily(ExpertFamily, Protocol):
    """A family whose experts, or group, may read conditions."""

    def reads(self, conditions: Sequence[ConditionSpec]) -> Sequence[ConditionSpec]:
        """Which of the items' conditions its experts read; empty where none. Known without weights, so that experts
        that are not in memory have their null condition too: that of what is returned here."""


@runtime_checkable
class ConditionalRouter(Router, Protocol):
    """A router p(k | x, t, c). Called as a ``Router`` it is p(k | x, t)."""

    @property
    def null(self) -> Condition | None:
        """As of a ``ConditionalExpert``."""

    def given(self, condition: Condition) -> Self:
        """The router of a condition, row by row; its states are its own."""
