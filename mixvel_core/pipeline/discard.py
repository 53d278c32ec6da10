"""What `--fresh` throws away, and what a recipe would have to: trained networks go only where they are named."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from attrs import frozen

from mixvel_core.errors import ArtifactError, UsageError
from mixvel_core.pipeline.jobs import ModelStage
from mixvel_core.pipeline.models import model_stages
from mixvel_core.pipeline.partition import partition_artifact
from mixvel_core.pipeline.run_folder import asked_last
from mixvel_core.pipeline.shards import open_shards
from mixvel_core.pipeline.trained import (
    TrainedModel,
    has_training,
    in_words,
    model_folders,
    section_names,
    trained_models,
    training_time,
)
from mixvel_core.recipe.dump import diff, to_plain
from mixvel_core.recipe.model import Recipe

ALL = "all"
_MODELS = ("experts", "monolith", "routers")
_OF_SHARDS = ("data", "codec", "partition", "seed")
_NOT_RESULTS = (".lock", "recipe.yaml", "shards", "router_data", "tensorboard", *_MODELS)
_LISTED = 6


@frozen(kw_only=True)
class Discard:
    """``paths``: files and folders that go. ``models``: trained ones among them; ``kept``: those that stay."""

    paths: tuple[Path, ...]
    models: tuple[TrainedModel, ...]
    kept: tuple[TrainedModel, ...]

    def holds(self, path: Path) -> bool:
        """Whether ``path`` goes, itself or with a folder it is in."""
        path = path.absolute()
        return any(path == gone or gone in path.parents for gone in self.paths)

    def lines(self) -> Iterator[str]:
        """What goes and what stays, in words."""
        if self.paths:
            inner = ["/".join(path.parts[-2 if path.parent.name in _MODELS else -1 :]) for path in self.paths]
            yield f"discards    {', '.join(inner)}"
        if self.models:
            yield f"discards    {in_words(self.models)}: {training_time(self.models)}"
        if self.kept:
            flag = f"`--fresh {section_names(self.kept)}` discards them"
            yield f"keeps       {in_words(self.kept)}: {training_time(self.kept)}; {flag}"

    def carry_out(self) -> None:
        """Removes what is to go, whatever it is."""
        for path in self.paths:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def discard_of(run: Path, names: Sequence[str]) -> Discard:
    """What goes of the run folder ``run``: all results and what is in closed form, and trained models that are named.

    Args:
        run: the folder; it may be absent.
        names: of trained models: experts, monolith, routers, routers.NAME, or all.

    Raises UsageError where a name is none of these.
    """
    run = run.absolute()
    _check_names(run, names)
    trained = trained_models(run)
    gone = tuple(model for model in trained if _is_named(model.section, names))
    kept = tuple(model for model in trained if model not in gone)
    there = sorted(run.iterdir()) if run.is_dir() else []
    if not kept:
        rest = [path for path in there if path.name not in (".lock", "recipe.yaml")]
        return Discard(paths=tuple(rest), models=gone, kept=())
    paths = [path for path in there if path.name not in _NOT_RESULTS]
    folders = {model.folder for model in kept}
    paths += [folder for _, _, folder in model_folders(run) if folder not in folders]
    if not any(model.section == "experts" for model in kept):
        paths += [run / "router_data"] if (run / "router_data").exists() else []
    paths += [path for model in gone for path in sorted((run / "tensorboard").glob(_events(model)))]
    return Discard(paths=tuple(paths), models=gone, kept=kept)


def _events(model: TrainedModel) -> str:
    """Of the folders of a model's event files."""
    if model.section == "experts":
        return f"expert-{model.folder.name}" if model.folder.name.isdecimal() else "experts"
    return "monolith" if model.section == "monolith" else f"router-{model.folder.name}*"


def _check_names(run: Path, names: Sequence[str]) -> None:
    known = {ALL, *_MODELS, *(section for section, _, _ in model_folders(run))}
    for name in names:
        if name not in known:
            raise UsageError(f"--fresh {name}: there is no such model; name some of {', '.join(sorted(known))}")


def _is_named(section: str, names: Sequence[str]) -> bool:
    return ALL in names or section in names or section.partition(".")[0] in names


def check_kept(recipe: Recipe, run: Path, discard: Discard | None = None) -> None:
    """Raises UsageError where running ``recipe`` would make models of ``run`` again that are there and are not
    discarded, because the recipe describes others; names the sections, what would be lost, and the ways on."""
    replaced = [
        (sections, folder) for sections, folder in _replaced(recipe, run) if not (discard and discard.holds(folder))
    ]
    if not replaced:
        return
    folders = {folder for _, folder in replaced}
    lost = [model for model in trained_models(run) if model.folder in folders]
    lines = _differences(recipe, run, {section for sections, _ in replaced for section in sections})
    shown = "; ".join(lines[:_LISTED]) + (f"; and {len(lines) - _LISTED} more" if len(lines) > _LISTED else "")
    if not lost and not lines:
        return  # Damaged, or of another run: it is made again as it was.
    if not lost:
        raise UsageError(
            f"{run}: made by another recipe ({shown}); its results would be lost, though nothing "
            "that was trained: another --out keeps both, --fresh starts over"
        )
    heads = " and ".join(dict.fromkeys(f"`{_section_of(line)}`" for line in lines))
    how = f"with another {heads} ({shown})" if shown else f"{_unlike(recipe)} than there are now"
    was, it = ("was", "it") if len(lost) == 1 else ("were", "them")
    raise UsageError(
        f"{run}: {in_words(lost)} {was} trained {how}; {training_time(lost)} would be lost: another --out keeps {it}, "
        f"`--fresh {section_names(lost)}` discards {it}"
    )


def _unlike(recipe: Recipe) -> str:
    """From what models that must be made again were made, where no section of the recipe has changed."""
    networks = [use for use in (recipe.expert, recipe.monolith) if use is not None]
    names = dict.fromkeys(str(path.parent) for use in networks for path in use.files())
    return f"from other files in {', '.join(names)}, or on other data," if names else "on other data"


def _replaced(recipe: Recipe, run: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """The folder of each model that is there and would be made again from other inputs, with the sections of a recipe
    that it depends on."""
    shards = partition_artifact(recipe, run)
    if shards.recorded_key() not in (None, shards.key):
        yield from ((_OF_SHARDS, folder) for _, _, folder in model_folders(run.absolute()))
        return
    try:
        stages = model_stages(recipe, run, open_shards(shards.folder, shards.digest()))
    except ArtifactError:
        return  # No shards yet, or damaged ones: each model looks for itself before it is made.
    networks: list[tuple[str, ModelStage | None]] = [("expert", stage) for stage in stages.separate]
    networks += [("expert", stages.shared), ("monolith", stages.monolith)]
    others = [(section, stage) for section, stage in networks if stage is not None and stage.is_of_others()]
    yield from (((section, "schedule"), stage.folder) for section, stage in others)
    if stages.base is not None and stages.base.is_of_others():
        adapters = [stage for stage in stages.separate if not stage.is_of_others() and has_training(stage.folder)]
        yield from ((("monolith", "schedule"), stage.folder) for stage in adapters)
    are_experts_others = any(section == "expert" or stage is stages.base for section, stage in others)
    for name, router in stages.routers.items():
        if has_training(router.folder):
            if router.is_of_others():
                yield (f"routers.{name}", "schedule"), router.folder
            elif router.router_data is not None and are_experts_others:
                yield ("expert", "schedule"), router.folder


def _differences(recipe: Recipe, run: Path, sections: Collection[str]) -> list[str]:
    """In words, between what was asked last and ``recipe``, in these sections."""
    old = asked_last(run)
    return [] if old is None else [line for line in diff(old, to_plain(recipe)) if _section_of(line) in sections]


def _section_of(line: str) -> str:
    """The section of a line of ``diff``, as routers.NAME."""
    keys = line.partition(":")[0].split(".")
    return ".".join(keys[:2] if keys[0] == "routers" else keys[:1])
