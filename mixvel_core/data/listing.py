"""Names of files and folders: which are nobody's data, and which are parts of a data set rather than classes."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SYSTEM = frozenset(
    [
        "__macosx", "__pycache__", "$recycle.bin", "system volume information", "lost+found", "#recycle", "@eadir",
        "thumbs.db", "desktop.ini",
    ]
)  # fmt: skip
"""What systems and their services leave between a user's files, in lower case."""
_PARTS = {
    "train": ("train", "training", "trainset"),
    "test": ("test", "testing", "testset"),
    "validation": ("val", "valid", "validation", "validating", "valset", "dev", "eval"),
    "unlabelled": ("unlabeled", "unlabelled", "extra"),
    "images": ("images", "image", "imgs", "img", "jpegimages"),
    "masks": ("masks", "mask", "labels", "annotations", "segmentation", "segmentations", "gt"),
}
_WORD = re.compile("[a-z]+")


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden or the system's: it is passed over, and counted."""
    return name.startswith(".") or name.lower() in _SYSTEM


def splits_among(names: Iterable[str]) -> list[str]:
    """Those names that mean parts of a data set, as train and test, or images and masks; empty without two such parts.

    Names that differ in nothing else are compared: train2017 and val2017, seg_train and seg_test. One alone may be a
    class, as a train is among vehicles, and bullet_train and test_tube are two.
    """
    part_of = {word: part for part, words in _PARTS.items() for word in words}
    found: dict[str, dict[str, str]] = {}
    for name in names:
        lower = name.lower()
        for word in set(_WORD.findall(lower)) & part_of.keys():
            found.setdefault(re.sub(f"(?<![a-z]){word}(?![a-z])", "*", lower), {})[name] = part_of[word]
    alike = [parts for parts in found.values() if len(set(parts.values())) > 1]
    return sorted({name for parts in alike for name in parts})
