"""Origins: which expert made each sample, for scores that compare the sample's class with the expert's."""

from __future__ import annotations

from collections.abc import Sequence

from mixvel_core.artifacts.files import read_json
from mixvel_core.pipeline.sample import StoredSamples
from mixvel_core.pipeline.shards import StoredShard
from mixvel_core.protocols import Origins


def origins_of(samples: StoredSamples, parts: Sequence[StoredShard], count: int) -> Origins | None:
    """The origins of the first ``count`` samples.

    None for the monolith, and where shards have a label in common or no labels at all: only where shards are made of
    whole classes does an expert have classes of its own.
    """
    labels = label_sets(parts)
    if labels is None or samples.draw.router is None:
        return None
    return Origins(experts=samples.array("origin")[:count], labels=labels)


def label_sets(parts: Sequence[StoredShard]) -> tuple[frozenset[int], ...] | None:
    """The labels of each shard's items; None where a shard has none or two shards have one in common."""
    found = tuple(
        frozenset(int(label) for label in read_json(part.folder / "shard.json").get("labels", {})) for part in parts
    )
    together = frozenset().union(*found)
    return found if all(found) and len(together) == sum(map(len, found)) else None
