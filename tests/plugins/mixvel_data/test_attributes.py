"""Partition by attributes, and how rare combinations are merged."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixvel_core.errors import DataError
from mixvel_core.protocols import Data, NamingPartitioner
from mixvel_data.attributes import AttributePartitioner


def with_counts(counts: dict[tuple[bool, ...], int], names: tuple[str, ...]) -> Data:
    rows = np.array([combination for combination, count in counts.items() for _ in range(count)])
    rows = np.random.default_rng(0).permutation(rows)
    return Data(
        items=np.zeros((len(rows), 1), np.float32), attributes={name: rows[:, a] for a, name in enumerate(names)}
    )


NAMES = ("Male", "Smiling", "Young")


def test_a_shard_for_each_combination() -> None:
    counts: dict[tuple[bool, ...], int] = {
        combination: 3 + i for i, combination in enumerate(product([False, True], repeat=3))
    }
    data = with_counts(counts, NAMES)
    made = AttributePartitioner(attributes=NAMES)
    assert isinstance(made, NamingPartitioner)
    shards = made.assign(data, 0)
    wanted = sum(data.attributes[name].astype(np.int64) << (2 - a) for a, name in enumerate(NAMES))
    np.testing.assert_array_equal(shards, wanted)
    assert made.names(data)[0] == "not Male, not Smiling, not Young"
    assert made.names(data)[6] == "Male, Smiling, not Young"


def test_the_rare_go_to_the_nearest_then_to_the_largest() -> None:
    f, t = False, True
    counts: dict[tuple[bool, ...], int] = {(f, f, f): 50, (f, f, t): 2, (f, t, t): 60, (t, t, t): 1, (t, f, f): 40}
    data = with_counts(counts, NAMES)
    made = AttributePartitioner(attributes=NAMES, smallest=3)
    # (t, t, t) is nearest to (f, t, t); (f, f, t) is as near to (f, f, f) as to (f, t, t), which is larger.
    assert np.bincount(made.assign(data, 0)).tolist() == [50, 63, 40]
    assert made.names(data) == (
        "not Male, not Smiling, not Young",
        "not Male, Smiling, Young; "
        "merged into it: Male, Smiling, Young (1 items); not Male, not Smiling, Young (2 items)",
        "Male, not Smiling, not Young",
    )
    assert AttributePartitioner(attributes=NAMES, smallest=0.02).names(data) == made.names(data)


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.booleans()), min_size=1, max_size=60),
    smallest=st.sampled_from([0.0, 0.1, 0.5, 1.0, 4.0, 100.0]),
)
def test_no_shard_is_empty_or_rare(rows: list[tuple[int, bool, bool]], smallest: float) -> None:
    columns = zip(*rows, strict=True)
    attributes = {name: np.array(column) for name, column in zip(("hair", "A", "B"), columns, strict=True)}
    data = Data(items=np.zeros((len(rows), 1), np.float32), attributes=attributes)
    made = AttributePartitioner(attributes=("hair", "A", "B"), smallest=smallest)
    shards = made.assign(data, 0)
    counts = np.bincount(shards)
    threshold = smallest if smallest >= 1 else smallest * len(rows)
    assert len(counts) == len(made.names(data))
    assert (counts > 0).all()
    assert len(counts) == 1 or (counts >= threshold).all()
    # Equal combinations stay together.
    assert all(len({k for k, r in zip(shards, rows, strict=True) if r == row}) == 1 for row in rows)


def test_attributes_that_are_not_there() -> None:
    data = with_counts({(True, True, True): 2}, NAMES)
    with pytest.raises(DataError, match="no attribute 'Smilling'; did you mean Smiling"):
        AttributePartitioner(attributes=("Smilling",)).assign(data, 0)
    with pytest.raises(DataError, match="they have Male, Smiling, Young"):
        AttributePartitioner(attributes=("xyz",)).assign(data, 0)
    with pytest.raises(DataError, match="the data have no attributes"):
        AttributePartitioner(attributes=("Male",)).assign(Data(items=data.items), 0)


def test_measurements_are_no_attributes() -> None:
    items = np.zeros((2000, 1), np.float32)
    with pytest.raises(DataError, match="holds float64 values"):
        AttributePartitioner(attributes=("age",)).assign(Data(items=items, attributes={"age": np.ones(2000)}), 0)
    with pytest.raises(DataError, match="2000 combinations of age; name fewer"):
        AttributePartitioner(attributes=("age",)).assign(Data(items=items, attributes={"age": np.arange(2000)}), 0)
