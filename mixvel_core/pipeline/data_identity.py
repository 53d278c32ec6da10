"""Whether the data of a run are still those that its shards were made of, as far as their files show it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mixvel_core.artifacts.artifact import Artifact
from mixvel_core.artifacts.files import digest_of, read_json
from mixvel_core.errors import MixvelError
from mixvel_core.pipeline.trained import trained_models
from mixvel_core.plugin.definition import DataUse
from mixvel_core.protocols import IdentifiedSource

IDENTITY = "identity"
"""In the notes of the shards' record, beside what its digest is made from: shards of the same items stay the same."""


def identity_of(data: DataUse | None) -> str | None:
    """A digest of what identifies the data now; None where nothing does, or they are not there."""
    if data is None:
        return None
    try:
        source = data.build()
        found = source.identity() if isinstance(source, IdentifiedSource) else {}
    except (MixvelError, OSError):
        return None
    return digest_of(dict(found)) if found else None


def changed_data(data: DataUse | None, shards: Artifact, run: Path) -> Iterator[str]:
    """A line where the data have changed since the ``shards`` of ``run`` were made of them. They are not those any
    more whose digest was noted, and the run goes on with its shards."""
    try:
        noted, about = shards.notes().get(IDENTITY), read_json(shards.folder / "data.json")
    except (MixvelError, KeyError, AttributeError, TypeError):
        return
    now = identity_of(data) if noted is not None else None
    if now is not None and now != noted:
        source = about.get("provenance", {}).get("source", "its data")
        fresh = "--fresh all" if trained_models(run) else "--fresh"
        yield (
            f"{run}: {source} have changed (names, sizes or times of files) since its shards were made; it goes on "
            f"with these. `{fresh}` takes what is there now, another --out keeps both"
        )
