"""Names that mean parts of a data set, and those that mean nobody's data."""

from __future__ import annotations

import pytest

from mixvel_core.data.listing import is_hidden, splits_among


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["train", "test"], ["test", "train"]),
        (["Train", "VAL", "notes"], ["Train", "VAL"]),
        (["train2017", "val2017", "annotations"], ["train2017", "val2017"]),
        (["seg_train", "seg_test", "seg_pred"], ["seg_test", "seg_train"]),
        (["x_train", "x_test", "y_train", "y_test"], ["x_test", "x_train", "y_test", "y_train"]),
        (["train", "unlabeled"], ["train", "unlabeled"]),
        (["images", "masks"], ["images", "masks"]),
        (["train", "plane", "car"], []),
        (["train", "training"], []),
        (["bullet_train", "test_tube"], []),
        (["trainer", "tester"], []),
        ([], []),
    ],
)
def test_parts_of_a_data_set_are_known_by_their_names(names: list[str], parts: list[str]) -> None:
    assert splits_among(names) == parts


@pytest.mark.parametrize("name", [".git", "__MACOSX", "@eaDir", "Thumbs.db", "System Volume Information"])
def test_what_systems_leave_is_hidden(name: str) -> None:
    assert is_hidden(name)
    assert not is_hidden(f"my {name.lstrip('.')}")
