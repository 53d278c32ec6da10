from __future__ import annotations

import numpy as np
import pytest
from attrs import evolve, frozen
from fake_plugins import definition

from mixvel_core.errors import DataError
from mixvel_core.pipeline.splits import Split, split
from mixvel_core.plugin.definition import DataUse, PartitionerUse
from mixvel_core.protocols import Data, GaussianLaw


@frozen(kw_only=True)
class Given:
    """Both a source of given data and a partition that is given."""

    data: Data
    shard_of: np.ndarray

    def load(self) -> Data:
        return self.data

    def assign(self, data: Data, seed: int) -> np.ndarray:
        return self.shard_of


def cut(shard_of: object, labels: object = None, law: GaussianLaw | None = None, count: int = 5) -> Split:
    items = np.arange(2.0 * count, dtype=np.float32).reshape(count, 2)
    data = Data(items=items, labels=None if labels is None else np.asarray(labels), law=law)
    given = Given(data=data, shard_of=np.asarray(shard_of, dtype=np.int64))
    source = evolve(definition("data", "given"), build=lambda options: given)
    partitioner = evolve(definition("partitioner", "given"), build=lambda options: given)
    return split(DataUse(definition=source, options=None), PartitionerUse(definition=partitioner, options=None), 0)


def test_every_item_is_in_its_shard_in_the_order_of_the_data() -> None:
    made = cut([1, 0, 1, 2, 1], labels=[7, 8, 9, 7, 7])
    assert [part.index for part in made.parts] == [0, 1, 2]
    assert [part.count for part in made.parts] == [1, 3, 1]
    assert [part.fraction for part in made.parts] == [0.2, 0.6, 0.2]
    assert made.parts[1].items[:].tolist() == [[0, 1], [4, 5], [8, 9]]
    assert made.parts[1].labels is not None
    assert made.parts[1].labels.tolist() == [7, 9, 7]
    assert {part.shape for part in made.parts} == {(2,)}
    assert cut([0] * 5).parts[0].labels is None


@pytest.mark.parametrize(
    ("shard_of", "message"),
    [
        ([0, 0, 2, 2, 0], "shard 1 is empty"),
        ([0, 0, -1, 0, 0], "each of the 5 items a shard"),
        ([0, 0, 0, 0], "each of the 5 items a shard"),
        ([[0], [0], [0], [0], [0]], "each of the 5 items a shard"),
        ([], "the data set is empty"),
    ],
)
def test_a_partition_that_is_none(shard_of: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        cut(shard_of, count=5 if shard_of else 0)


LAW = GaussianLaw(
    weights=np.array([0.5, 0.3, 0.2]),
    means=np.arange(6.0).reshape(3, 2),
    covariances=np.stack([np.eye(2) * (j + 1) for j in range(3)]),
)


def test_shards_of_whole_components_know_their_law() -> None:
    made = cut([1, 0, 1, 0, 1], labels=[0, 1, 2, 1, 2], law=LAW)
    # Of the law, not of the items that happened to be drawn.
    assert [part.fraction for part in made.parts] == pytest.approx([0.3, 0.7])
    law = made.parts[1].law
    assert law is not None
    np.testing.assert_allclose(law.weights, [5 / 7, 2 / 7])
    assert law.means.tolist() == [[0, 1], [4, 5]]
    assert law.covariances[1].tolist() == [[3, 0], [0, 3]]


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2], [0, 1, 0, 1, 1], None])
def test_shards_that_cut_a_component_do_not(labels: list[int] | None) -> None:
    made = cut([0, 1, 0, 1, 1], labels=labels, law=LAW)
    assert [part.law for part in made.parts] == [None, None]
    assert [part.fraction for part in made.parts] == [0.4, 0.6]
