"""Whether the data of a run are still those that its shards were made of, as far as their files show it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mixvel_core.artifacts.artifact import Artifact
from mixvel_core.artifacts.files import digest_of, read_json
from mixvel_core.data.conditions import is_file
from mixvel_core.errors import MixvelError
from mixvel_core.machine import from_home
from mixvel_core.pipeline.trained import trained_models
from mixvel_core.protocols import IdentifiedSource
from mixvel_core.recipe.model import Recipe

IDENTITY = "identity"
"""In the notes of the shards' record, beside what its digest is made from: shards of the same items stay the same."""


def identity_of(recipe: Recipe) -> str | None:
    """A digest of what identifies the data of a recipe, and the files of their conditions, now.

    None where nothing does, or they are not there.
    """
    if recipe.data is None:
        return None
    try:
        source = recipe.data.build()
        found = dict(source.identity() if isinstance(source, IdentifiedSource) else {})
        for name, place in (recipe.condition or {}).items():
            if is_file(place):
                facts = from_home(place).stat()
                found[f"condition {name}"] = [place, facts.st_size, facts.st_mtime_ns]
    except (MixvelError, OSError):
        return None
    return digest_of(found) if found else None


def changed_data(recipe: Recipe, shards: Artifact, run: Path) -> Iterator[str]:
    """A line where the data of a recipe have changed since the ``shards`` of ``run`` were made of them.

    They are not those any more whose digest was noted, and the run goes on with its shards.
    """
    try:
        noted, about = shards.notes().get(IDENTITY), read_json(shards.folder / "data.json")
    except (MixvelError, KeyError, AttributeError, TypeError):
        return
    now = identity_of(recipe) if noted is not None else None
    if now is not None and now != noted:
        source = about.get("provenance", {}).get("source", "its data")
        if any(map(is_file, (recipe.condition or {}).values())):
            source += " or the files of their conditions"
        fresh = "--fresh all" if trained_models(run) else "--fresh"
        yield (
            f"{run}: {source} have changed (names, sizes or times of files) since its shards were made; it goes on "
            f"with these. `{fresh}` takes what is there now, another --out keeps both"
        )
