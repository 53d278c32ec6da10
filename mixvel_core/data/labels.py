"""Labels: of whole numbers, truth values or text, with their names, and how often each of them occurs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixvel_core.errors import DataError

_MOST = 20
"""Classes that one line names."""


def as_labels(values: np.ndarray, count: int, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as numbers, and their names where the values are text: numbers by the order of the texts.

    Args:
        values: (n,) or (n, 1), whole numbers, in floats too, truth values or text.
        count: n.
        where: the array or column, for messages.

    Returns:
        (n,) int64, and the names of labels 0, 1, ..., empty for numbers.

    Raises:
        DataError: another shape or type.
    """
    if values.shape not in ((count,), (count, 1)):
        is_one_hot = values.ndim == 2 and len(values) == count
        mend = "; take the argmax of one-hot labels" if is_one_hot else ""
        raise DataError(f"{where}: the labels have shape {values.shape}; expected ({count},), one for each item{mend}")
    flat = values.reshape(count)
    if flat.dtype.kind in "iub" or are_integers(flat):
        return flat.astype(np.int64), ()
    if flat.dtype.kind in "US" or (flat.dtype.kind == "O" and all(isinstance(value, str) for value in flat)):
        texts = np.char.decode(flat, "utf-8", "replace") if flat.dtype.kind == "S" else flat.astype(str)
        texts, labels = np.unique(texts, return_inverse=True)
        return labels.reshape(count).astype(np.int64), tuple(map(str, texts))
    raise DataError(f"{where}: {_kind(flat)} are no labels; expected whole numbers or text")


def are_integers(values: np.ndarray) -> bool:
    """Whether floats are whole numbers, as labels are that some program stored as floats."""
    return values.dtype.kind == "f" and bool((np.isfinite(values) & (values == np.floor(values))).all())


def named(labels: np.ndarray | None, names: Sequence[str], where: str) -> tuple[str, ...]:
    """``names`` of labels 0, 1, ..., checked against the labels.

    Raises DataError where there are no labels, or a label has no name: an offset of one is the commonest mistake.
    """
    if not names:
        return ()
    if labels is None:
        raise DataError(f"{where}: `label_names` are given, and the data have no labels; leave them out")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(names):
        mend = "begin the list with a name for 0" if low >= 1 and high == len(names) else "give each of them a name"
        raise DataError(
            f"{where}: labels go from {low} to {high}, and the {len(names)} `label_names` are of 0 to "
            f"{len(names) - 1}; {mend}"
        )
    return tuple(names)


def class_counts(labels: np.ndarray, names: Sequence[str] = ()) -> str:
    """Each label with its name and its number of items, as in ``0 cat (4), 1 dog (5)``; the first ones of many."""
    found, counts = np.unique(labels, return_counts=True)
    shown = []
    for label, count in zip(found[:_MOST].tolist(), counts.tolist(), strict=False):
        name = names[label] if 0 <= label < len(names) else ""
        shown.append(f"{label} {name} ({count})" if name not in ("", str(label)) else f"{label} ({count})")
    more = [f"and {len(found) - _MOST} more"] if len(found) > _MOST else []
    return ", ".join([*shown, *more])


def numbers_of(texts: Sequence[str]) -> list[int] | None:
    """The numbers that names of classes are, as in folders 0 to 11; None where not all of them are numbers.

    Two names of one number, as 7 and 07, are no numbers either: they are two classes.
    """
    # Eighteen digits fit into int64.
    if not all(text.isascii() and text.isdecimal() and len(text) <= 18 for text in texts):
        return None
    found = list(map(int, texts))
    return found if len(set(found)) == len(found) else None


def _kind(values: Any) -> str:
    return f"{values.dtype} values" if values.dtype.kind != "O" else f"values like {values[0]!r}"
