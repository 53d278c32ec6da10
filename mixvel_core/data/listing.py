"""Names of files and folders: which are nobody's data, and which are parts of a data set rather than classes."""

from __future__ import annotations

from collections.abc import Iterable

_SYSTEM = frozenset(
    [
        "__macosx", "__pycache__", "$recycle.bin", "system volume information", "lost+found", "#recycle", "@eadir",
        "thumbs.db", "desktop.ini",
    ]
)  # fmt: skip
"""What systems and their services leave between a user's files, in lower case."""
_SPLITS = {
    "train": ("train", "training", "trainset", "train_set", "train_images", "images_train"),
    "test": ("test", "testing", "testset", "test_set", "test_images", "images_test"),
    "validation": ("val", "valid", "validation", "validating", "dev", "eval", "valset", "val_set", "val_images"),
}


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden or the system's: it is passed over, and counted."""
    return name.startswith(".") or name.lower() in _SYSTEM


def splits_among(names: Iterable[str]) -> list[str]:
    """Those names that mean parts of a data set, as train and test do; empty unless there are two such parts.

    One alone may be a class: a train is one among vehicles.
    """
    part_of = {word: part for part, words in _SPLITS.items() for word in words}
    found = {name: part_of[name.lower()] for name in names if name.lower() in part_of}
    return sorted(found) if len(set(found.values())) > 1 else []
