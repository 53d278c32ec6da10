"""Options of the data sources and partitioners. Free of NumPy, because recipes are checked with it."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from mixvel_core.plugin.options import Check, at_least, between, each, option


def _are_groups(groups: tuple[tuple[int, ...], ...]) -> bool:
    labels = [label for group in groups for label in group]
    return len(groups) > 0 and all(groups) and len(set(labels)) == len(labels)


GROUPS = Check(text="a list of lists of labels, none of them empty and no label twice", holds=_are_groups)


@frozen(kw_only=True)
class DigitsOptions:
    """Options of ``digits``."""

    labels: tuple[int, ...] | None = option(
        default=None, check=each(between(0, 9)), doc="only these digits, as one owner of data may hold; absent: all"
    )


@frozen(kw_only=True)
class NumpyOptions:
    """Options of ``numpy``."""

    path: str = option(doc="an .npy file, an .npz file, or a folder with one .npy file for each class")
    items: str = option(default="items", doc="the array of an .npz file that holds the items")
    labels: str | None = option(
        default=None, doc="the array of an .npz file that holds the labels; absent: the items have none"
    )
    layout: Literal["channels-first", "channels-last"] = option(
        default="channels-first", doc="order of image axes: (n, C, H, W) or (n, H, W, C); no matter for vectors"
    )


@frozen(kw_only=True)
class LabelsOptions:
    """Options of ``labels``."""

    groups: tuple[tuple[int, ...], ...] | None = option(
        default=None,
        check=GROUPS,
        doc="labels that share a shard, a list for each shard; absent: a shard for each label",
    )


@frozen(kw_only=True)
class KMeansOptions:
    """Options of ``kmeans``."""

    shards: int = option(check=at_least(1), doc="K, the number of clusters")
    pca: int | None = option(
        default=None, check=at_least(1), doc="principal components to cluster by; absent: all pixels"
    )
    restarts: int = option(default=4, check=at_least(1), doc="starts of the search; the tightest clusters are kept")
