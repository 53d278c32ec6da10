"""Partition by label."""

from __future__ import annotations

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from mixvel_core.errors import DataError
from mixvel_core.protocols import Data
from mixvel_data.hooks import LabelsOptions
from mixvel_data.labels import LabelPartitioner


def data_with(labels: list[int] | None) -> Data:
    count = len(labels) if labels is not None else 3
    return Data(
        items=np.zeros((count, 2), dtype=np.float32),
        labels=np.array(labels, dtype=np.int64) if labels is not None else None,
    )


def test_labels_need_not_be_contiguous() -> None:
    shards = LabelPartitioner().assign(data_with([40, -3, 7, 7, 40]), seed=0)
    assert shards.dtype == np.int64
    assert shards.tolist() == [2, 0, 1, 1, 2]


def test_groups_merge_labels_in_their_order() -> None:
    shards = LabelPartitioner(groups=((9,), (1, 4))).assign(data_with([4, 9, 1, 9]), seed=0)
    assert shards.tolist() == [1, 0, 1, 0]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-(2**60), 2**60), min_size=1, max_size=30), st.integers(0, 2**32))
def test_one_shard_for_each_label(labels: list[int], seed: int) -> None:
    shards = LabelPartitioner().assign(data_with(labels), seed).tolist()
    assert sorted(set(shards)) == list(range(len(set(labels))))
    assert len(set(zip(labels, shards, strict=True))) == len(set(labels))


@pytest.mark.parametrize(
    ("groups", "labels", "named"),
    [
        (None, None, "labels"),
        (((1,),), [1, 8, 5], "label 5, 8"),
        (((1,), (2, 3)), [1, 1], "shard 1 is empty, no item has label 2, 3;"),
    ],
)
def test_labels_and_groups_that_do_not_fit(
    groups: tuple[tuple[int, ...], ...] | None, labels: list[int] | None, named: str
) -> None:
    with pytest.raises(DataError, match=named):
        LabelPartitioner(groups=groups).assign(data_with(labels), seed=0)


@pytest.mark.parametrize("groups", [(), ((),), ((1, 2), (2, 3)), ((1, 1),)])
def test_groups_that_are_none(groups: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="no label twice"):
        evolve(LabelsOptions(), groups=groups)
