"""The parts of an exported folder, one subfolder each, and a run opened from them, to sample from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from mixvel_core.artifacts.files import read_json
from mixvel_core.errors import ArtifactError, PluginError
from mixvel_core.export.choice import MONOLITH
from mixvel_core.export.layout import CONFIG, exported_expert
from mixvel_core.pipeline.codecs import StoredCodec, stored_codec
from mixvel_core.pipeline.experts import StoredExpert
from mixvel_core.pipeline.jobs import MODEL
from mixvel_core.pipeline.loaded import Models
from mixvel_core.pipeline.opened import Run
from mixvel_core.pipeline.routers import StoredRouter
from mixvel_core.pipeline.shards import RemoteShard, Shards
from mixvel_core.pipeline.shared_experts import FOLDER as SHARED
from mixvel_core.pipeline.shared_experts import StoredMember
from mixvel_core.plugin.discovery import Registry, load_registry
from mixvel_core.plugin.kinds import Kind, kind_names
from mixvel_core.protocols import ExpertConfig
from mixvel_core.recipe.build import checked
from mixvel_core.recipe.model import Recipe

FORMAT = 1
"""Of exported folders. Counts up when files of one change their name or meaning; others are refused."""
EXPERTS, ROUTER, SCHEDULE, SAMPLER, CODEC = "experts", "router", "schedule", "sampler", "codec"
ROW = "exported"
"""The name of the one method, and the one router, of an exported folder."""


@frozen(kw_only=True)
class ExportedParts:
    """The subfolders of an exported folder. ``router``: None where there is one expert, the monolith.
    ``codec``: None where samples are items as they are."""

    experts: Path
    router: Path | None
    schedule: Path
    sampler: Path
    codec: Path | None = None


def parts_of(folder: Path) -> ExportedParts:
    """Those of a whole exported folder."""
    router, codec = folder / ROUTER, folder / CODEC
    return ExportedParts(
        experts=folder / EXPERTS,
        router=router if router.is_dir() else None,
        schedule=folder / SCHEDULE,
        sampler=folder / SAMPLER,
        codec=codec if codec.is_dir() else None,
    )


def open_exported(parts: ExportedParts, *, resident_experts: int | None = None) -> Run:
    """A run with the models and settings of an exported folder: ``open_exported(parts_of(folder)).sampler()``.

    Its ``sampler()`` without arguments is the one that was exported, or ``sampler(monolith=True)`` where there is no
    router. Of its data nothing is known.

    Args:
        parts: where they are.
        resident_experts: most experts in memory at once; as exported if None.

    Raises:
        PluginError: a package is not installed whose plugins were used; names it.
        ArtifactError: a file is missing, damaged, or of another version of mixvel.
        RecipeError: settings are not what this version of mixvel reads.
    """
    registry = load_registry()
    sampler, experts = read_part(parts.sampler), read_part(parts.experts)
    check_plugins(sampler.get("plugins", ()), registry, parts.sampler)
    sample = _section(sampler, "sample", parts.sampler)
    if resident_experts is not None:
        sample = {**sample, "resident_experts": resident_experts}
    family = _section(experts, "expert", parts.experts)
    routers = {} if parts.router is None else {ROW: _section(read_part(parts.router), "router", parts.router)}
    recipe: dict[str, Any] = {
        "name": ROW,
        "data": None,
        "partition": None,
        "schedule": _section(read_part(parts.schedule), "schedule", parts.schedule),
        "expert": family,
        "monolith": None if experts.get(MONOLITH) is None else _section(experts, MONOLITH, parts.experts),
        "routers": routers,
        "sample": sample,
        "evaluate": {"metrics": []},
        "launcher": "local",
    }
    made = checked(Recipe, recipe, str(parts.sampler / CONFIG), registry)
    first = StoredExpert(key="", folder=parts.experts, family=made.expert, schedule=made.schedule)
    monolith = None
    if made.monolith is not None:
        monolith = exported_expert(evolve(first, folder=parts.experts / MONOLITH, family=made.monolith))
        if made.expert.adapts:
            first = evolve(first, base=monolith.as_base())
    stored = [exported_expert(one) for one in _stored(first, experts)]
    models = Models(
        schedule=made.schedule,
        experts=tuple(stored),
        monolith=monolith,
        routers={
            name: StoredRouter(key="", folder=parts.router, family=use, schedule=made.schedule)
            for name, use in made.routers.items()
            if parts.router is not None
        },
        shards=tuple(_shard(one.config, parts.experts) for one in (*stored, monolith)[:1] if one is not None),
    )
    shards = Shards(key="", parts=(), about={}, codec=None if parts.codec is None else _codec(parts.codec))
    return Run(folder=parts.sampler.parent, recipe=made, shards=shards, models=models)


def _codec(folder: Path) -> StoredCodec | None:
    found = stored_codec(folder, read_part(folder))
    return None if found is None else evolve(found, path=folder / MODEL)


def _shard(config: ExpertConfig, folder: Path) -> RemoteShard:
    """What is known of the first expert's shard. The conditions of items are those of all shards alike."""
    return RemoteShard(
        folder=folder,
        index=config.index,
        count=config.count,
        fraction=config.fraction,
        shape=config.shape,
        conditions=config.conditions,
    )


def _stored(first: StoredExpert, about: Mapping[str, Any]) -> list[StoredExpert]:
    count, folder = about.get("count"), first.folder
    if not isinstance(count, int) or not 0 <= count <= 1 << 20:
        raise ArtifactError(f"{folder / CONFIG}: `count` is {count!r:.40}, no number of experts; export it again")
    if about.get("shared"):
        return [
            StoredMember(key="", folder=folder / SHARED, family=first.family, schedule=first.schedule, index=k)
            for k in range(count)
        ]
    return [evolve(first, folder=folder / str(k)) for k in range(count)]


def read_part(folder: Path) -> dict[str, Any]:
    """What the subfolder says of itself. Raises ArtifactError where it is missing, or of another format."""
    found = read_json(folder / CONFIG)
    if not isinstance(found, dict):
        raise ArtifactError(f"{folder / CONFIG}: not of an exported folder; download it, or export it, again")
    if found.get("format") != FORMAT:
        raise ArtifactError(
            f"{folder / CONFIG}: exported in format {found.get('format')!r:.20} by mixvel {found.get('mixvel')!s:.40}, "
            f"and this one reads format {FORMAT}; install that version"
        )
    return found


def _section(about: Mapping[str, Any], key: str, folder: Path) -> dict[str, Any]:
    if not isinstance(about.get(key), dict):
        raise ArtifactError(f"{folder / CONFIG}: has no section `{key}`; download it, or export it, again")
    return dict(about[key])


def check_plugins(plugins: Sequence[Any], registry: Registry, folder: Path) -> None:
    """Raises PluginError, naming the package, where a plugin that was used is not installed here."""
    for one in plugins:
        try:
            kind, name, package, version = (str(one[key]) for key in ("kind", "name", "package", "version"))
        except (KeyError, TypeError):
            raise ArtifactError(f"{folder / CONFIG}: `plugins` is damaged; export it again") from None
        if name not in registry.names(_kind(kind, folder)):
            raise PluginError(
                f"{kind} {name}: comes with the package {package} {version}, which is not installed here, or broken; "
                "install it, then load again"
            )


def _kind(name: str, folder: Path) -> Kind:
    for kind in kind_names():
        if kind == name:
            return kind
    raise ArtifactError(f"{folder / CONFIG}: there is no kind of plugin called {name!r:.40}; install a newer mixvel")
