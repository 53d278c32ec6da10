"""Conditions of a bundle: what its expert reads, in its header, and whether experts of several owners read the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve

from mixvel_core.data.conditions import specs_of_facts
from mixvel_core.protocols import ConditionSpec

_MOST, _MOST_NAMES = 1 << 20, 64
"""Of classes, of numbers of an item, and of conditions: more than anyone has."""


def read_conditions(about: Mapping[str, Any]) -> tuple[ConditionSpec, ...]:
    """Those in the header of a bundle. Raises KeyError, TypeError or ValueError where they are none: it comes from
    elsewhere."""
    specs = specs_of_facts(about)
    for spec in specs:
        sides = (spec.classes, *spec.shape)
        if not isinstance(spec.name, str) or not all(type(side) is int and 0 <= side <= _MOST for side in sides):
            raise ValueError(f"condition {spec.name!s:.40} of {spec.classes!s:.40} classes, {spec.shape!s:.40}")
        if math.prod(spec.shape) > _MOST or not all(isinstance(label, str) for label in spec.labels):
            raise ValueError(f"condition {spec.name:.40}: {len(spec.labels)} labels, shape {spec.shape!s:.40}")
        if len(spec.labels) > spec.classes:
            raise ValueError(f"condition {spec.name:.40}: {len(spec.labels)} names of {spec.classes} classes")
    if len({spec.name for spec in specs}) < len(specs) or len(specs) > _MOST_NAMES:
        raise ValueError(f"{len(specs)} conditions, some of them of one name")
    return specs


def read_class_counts(about: Mapping[str, Any], shared: bool, classes: int, count: int) -> tuple[int, ...]:
    """How many of ``count`` items have each of the ``classes`` that the header of a bundle has, if it is ``shared``.

    Raises KeyError, TypeError or ValueError where it is not that.
    """
    if not shared:
        return ()
    counts = tuple(about["class_counts"])
    whole = all(type(one) is int and one >= 0 for one in counts)
    if not whole or len(counts) != classes or sum(counts) != count:
        raise ValueError(f"{len(counts)} class counts for {classes} classes of {count} items")
    return counts


def difference(first: Sequence[ConditionSpec], other: Sequence[ConditionSpec]) -> str:
    """How the conditions ``other`` are not those of ``first``, in words; empty where one network could read both.

    Names of labels that one of them lacks are no difference.
    """
    names = [", ".join(sorted(spec.name for spec in specs)) or "none" for specs in (first, other)]
    if names[0] != names[1]:
        return f"{names[0]} -> {names[1]}"
    found = {spec.name: spec for spec in other}
    for mine in first:
        its = found[mine.name]
        if mine.classes != its.classes:
            return f"{mine.name}: {mine.classes} classes -> {its.classes}"
        if mine.shape != its.shape:
            return f"{mine.name}: {mine.shape} -> {its.shape}"
        for label, (a, b) in enumerate(zip(mine.labels, its.labels, strict=False)):
            if a != b:
                return f"{mine.name} {label}: {a} -> {b}"
    if [spec.name for spec in first] != [spec.name for spec in other]:
        return f"order: {_order(first)} -> {_order(other)}"
    return ""


def with_names(specs: Sequence[ConditionSpec], others: Sequence[Sequence[ConditionSpec]]) -> tuple[ConditionSpec, ...]:
    """``specs`` with the names of labels of whichever has most, of these and ``others`` of no ``difference``."""
    every = [specs, *others]
    return tuple(evolve(one, labels=max((each[i].labels for each in every), key=len)) for i, one in enumerate(specs))


def _order(specs: Sequence[ConditionSpec]) -> str:
    return ", ".join(spec.name for spec in specs)
