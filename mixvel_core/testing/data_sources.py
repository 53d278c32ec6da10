"""Checks of what the protocol requires of a DataSource."""

from __future__ import annotations

import numpy as np

from mixvel_core.protocols import DataSource
from mixvel_core.testing.check import is_text, require


def items(source: DataSource) -> None:
    """Items are (n, *data), uint8, or float32 in [-1, 1]; finite in any range where their law is known."""
    data = source.load()
    found = data.items
    fix = "return arrays of items, first axis the items: bytes as they are, or floats scaled to [-1, 1] as float32"
    shape = tuple(found.shape)
    require(len(shape) >= 2 and len(found) == shape[0] and min(shape) >= 1, f"items have shape {shape}", fix)
    require(found.dtype in (np.uint8, np.float32), f"items are {found.dtype}", fix)
    values = found[:]
    require(
        isinstance(values, np.ndarray) and values.shape == shape and values.dtype == found.dtype,
        f"items[:] is {getattr(values, 'dtype', type(values).__name__)} {getattr(values, 'shape', '')}, "
        f"the items say {found.dtype} {shape}",
        fix,
    )
    if values.dtype == np.float32:
        require(bool(np.isfinite(values).all()), "items hold NaN or infinity", "leave such items out, and count them")
        low, high = float(values.min()), float(values.max())
        in_range = data.law is not None or (low >= -1 and high <= 1)
        require(in_range, f"items range from {low:.4g} to {high:.4g}", fix)


def reading(source: DataSource) -> None:
    """Items can be read a slice or some rows at a time, in the order asked for."""
    found = source.load().items
    whole = found[:]
    rows = np.array([len(found) - 1, 0, len(found) // 2])
    fix = "read the rows that are asked for, in that order; NumPy arrays do, memory-mapped or not"
    require(np.array_equal(found[rows], whole[rows]), "items[rows] are not those rows of items[:]", fix)
    require(np.array_equal(found[1:3], whole[1:3]), "items[1:3] are not those rows of items[:]", fix)


def labels(source: DataSource) -> None:
    """Labels and attributes, where there are any, have one entry for each item; labels are int64."""
    data = source.load()
    n = len(data.items)
    if data.labels is not None:
        fix = "give every item one label: drop the label of each item that is dropped"
        require(data.labels.shape == (n,), f"there are {n} items, and labels of shape {data.labels.shape}", fix)
        require(data.labels.dtype == np.int64, f"labels are {data.labels.dtype}", "labels.astype(np.int64)")
    for name, values in data.attributes.items():
        fix = "give every item one value of each attribute"
        require(len(values) == n, f"there are {n} items, and {len(values)} values of attribute {name!r}", fix)


def provenance(source: DataSource) -> None:
    """The data say where they come from, in text."""
    found = source.load().provenance
    fix = "name the source and what was done to it, {'source': ..., 'count': ...}, as text: it stands in the report"
    require(is_text(found), f"provenance is {found!r}", fix)


def law(source: DataSource) -> None:
    """A law, where there is one, is a Gaussian mixture whose component labels[i] drew item i."""
    data = source.load()
    if data.law is None:
        return
    weights, means, covariances = data.law.weights, data.law.means, data.law.covariances
    J, D = means.shape
    fix = "weights (J,) positive with sum 1, means (J, D), covariances (J, D, D) symmetric, positive semi-definite"
    require(
        weights.shape == (J,) and covariances.shape == (J, D, D) and tuple(data.items.shape[1:]) == (D,),
        f"the law has weights {weights.shape}, means {means.shape}, covariances {covariances.shape}, "
        f"items of shape {tuple(data.items.shape[1:])}",
        fix,
    )
    total = float(weights.sum())
    require(bool((weights > 0).all()) and abs(total - 1) < 1e-6, f"the law's weights sum to {total:.6g}", fix)
    even = bool(np.allclose(covariances, covariances.transpose(0, 2, 1)))
    require(even and float(np.linalg.eigvalsh(covariances).min()) > -1e-9, "a covariance is none", fix)
    require(
        data.labels is not None and bool(((data.labels >= 0) & (data.labels < J)).all()),
        f"the law has {J} components, and the labels do not name them",
        "let labels[i] be the component that drew item i",
    )


def repeatable(source: DataSource) -> None:
    """Loaded twice, the data are the same."""
    first, second = source.load(), source.load()
    fix = "sort file names, and draw from a generator with a fixed seed: a run is resumed with the data loaded again"
    attributes = first.attributes.keys() == second.attributes.keys() and all(
        np.array_equal(values, second.attributes[name]) for name, values in first.attributes.items()
    )
    labels = np.array_equal(np.array(first.labels), np.array(second.labels))
    for same, what in (
        (np.array_equal(first.items[:], second.items[:]), "items are others when they are"),
        (labels, "labels are others when they are"),
        (attributes, "attributes are others when they are"),
        (dict(first.provenance) == dict(second.provenance), "provenance is another when the data are"),
    ):
        require(same, f"{what} loaded a second time", fix)


CHECKS = (items, reading, labels, provenance, law, repeatable)
