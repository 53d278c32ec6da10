"""The bundled digits: what they are, and on which scale."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mixvel_core.data.conditions import condition_columns
from mixvel_core.errors import DataError
from mixvel_core.protocols import Data
from mixvel_data.numpy_source import Digits


@pytest.fixture(scope="module")
def digits() -> Data:
    return Digits().load()


def test_shape_type_and_labels(digits: Data) -> None:
    assert digits.items.shape == (1797, 1, 8, 8)
    assert digits.items.dtype == np.float32
    assert digits.labels is not None
    assert digits.labels.dtype == np.int64
    assert np.bincount(digits.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_scale_is_undone_exactly(digits: Data) -> None:
    items = digits.items[:]
    assert items.min() == -1
    assert items.max() == 1
    # Sixteenths are binary fractions: nothing is rounded.
    np.testing.assert_array_equal((items[:, 0].astype(np.float64) + 1) * 8, load_digits().images)


def test_labels_choose_items_and_keep_their_order(digits: Data) -> None:
    assert digits.labels is not None
    some = Digits(labels=(7, 2)).load()
    wanted = np.isin(digits.labels, (2, 7))
    np.testing.assert_array_equal(some.items, np.asarray(digits.items)[wanted])
    np.testing.assert_array_equal(some.labels, digits.labels[wanted])
    assert some.provenance["count"] == str(177 + 179)


def test_an_owner_of_some_digits_can_name_them_all() -> None:
    names = tuple("0123456789")
    some = Digits(labels=(2, 7), label_names=names).load()
    assert some.label_names == names
    [column] = condition_columns(some, {"class": "labels"})
    assert (column.spec.classes, column.spec.labels) == (10, names)
    with pytest.raises(DataError, match="digits: labels go from 2 to 7, and the 3 `label_names`"):
        Digits(labels=(2, 7), label_names=names[:3]).load()
