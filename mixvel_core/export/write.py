"""A run's models and how they are sampled -> a folder that diffusers loads as a pipeline."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixvel_core import __version__
from mixvel_core.artifacts.artifact import check_bytes
from mixvel_core.artifacts.files import read_json, write_json, write_text, writing
from mixvel_core.errors import UsageError
from mixvel_core.export.card import model_card, places_in
from mixvel_core.export.choice import MONOLITH, ExportChoice, chosen
from mixvel_core.export.code_files import CLASS_NAME, MODULE, component_file, pipeline_file
from mixvel_core.export.layout import CONFIG, write_codec, write_expert, write_router
from mixvel_core.export.parts import CODEC, EXPERTS, FORMAT, ROUTER, ROW, SAMPLER, SCHEDULE
from mixvel_core.machine import from_home
from mixvel_core.pipeline.codecs import codec_of
from mixvel_core.pipeline.experts import StoredExpert
from mixvel_core.pipeline.opened import Run, open_run
from mixvel_core.pipeline.shared_experts import FOLDER as SHARED
from mixvel_core.pipeline.shared_experts import StoredMember
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import Progress
from mixvel_core.protocols.progress import SILENT
from mixvel_core.recipe.dump import plain, uses_in

INDEX, CARD = "model_index.json", "README.md"


def export_run(
    run: Path | str,
    to: Path | str,
    overrides: Sequence[str] = (),
    *,
    method: str | None = None,
    router: str | None = None,
    monolith: bool = False,
    replace: bool = False,
    verify: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Writes a folder that ``DiffusionPipeline.from_pretrained`` loads, with the samples of ``mixvel sample``.

    Args:
        run: the run folder; all its models are made.
        to: the folder to write. It appears as soon as all of it is written.
        overrides: of the recipe's ``sample`` section; one step count, which calls of the pipeline may change.
        method: a row of the recipe, whose settings it has where ``overrides`` say nothing; None: the usual ones.
        router: by name; the row's, or the recipe's first one, if None.
        monolith: the monolith instead of the experts.
        replace: whether an exported folder that is there is replaced.
        verify: read all bytes of the run, not only of files whose size or time changed.
        progress: a line for each expert.

    Returns:
        The folder.

    Raises:
        UsageError: the folder is there, or the run has no such row, router or monolith.
        DataError: an expert or the router is made of the items themselves.
        MixvelError: the run is not as it was made.
    """
    folder, target = from_home(run), from_home(to)
    _check_free(target, replace)
    opened = open_run(folder, overrides)
    if verify:
        check_bytes(folder)
    choice = chosen(opened, overrides, method=method, router=router, monolith=monolith)
    with _appearing(target, replace) as made:
        _write(opened, choice, made, progress)
    return target


def _experts(run: Run, choice: ExportChoice) -> Mapping[str, StoredExpert]:
    """What is written below ``experts/``, by folder: each expert, or one that shares a network; the monolith."""
    needs_monolith = choice.router is None or choice.with_monolith
    monolith = {MONOLITH: run.models.monolith} if needs_monolith and run.models.monolith else {}
    if choice.router is None:
        return monolith
    experts = run.models.experts
    if isinstance(experts[0], StoredMember):
        return {SHARED: experts[0], **monolith}
    return {**{str(k): stored for k, stored in enumerate(experts)}, **monolith}


def _check_free(target: Path, replace: bool) -> None:
    """Raises UsageError where something is there that is not to be replaced."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not is_exported(target):
        raise UsageError(f"{target}: is there, and is no exported folder; choose another --to")
    if not replace:
        raise UsageError(
            f"{target}: an exported folder is there; `--replace` makes it anew, `hf upload OWNER/NAME {target}` pushes "
            "it as it is"
        )


def is_exported(folder: Path) -> bool:
    """Whether it holds what ``export_run`` writes."""
    index = folder / INDEX
    found = read_json(index) if index.is_file() else None
    return isinstance(found, dict) and found.get("_class_name") == [MODULE, CLASS_NAME]


@contextmanager
def _appearing(target: Path, replace: bool) -> Iterator[Path]:
    """A folder beside ``target`` that takes its place when the block ends well, and is removed if not."""
    # Absolute: the folder may be the present one, which has no name to be exchanged by.
    target = target.absolute()
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".unfinished", dir=target.parent) as name:
            made = Path(name) / "made"
            made.mkdir()
            yield made
            if target.exists():
                _check_free(target, replace)
                target.rename(Path(name) / "replaced")
            made.rename(target)


def _write(run: Run, choice: ExportChoice, folder: Path, progress: Progress) -> None:
    recipe, experts = run.recipe, _experts(run, choice)
    classes: dict[str, str | None] = {}
    for name, stored in experts.items():
        classes[name] = write_expert(stored, folder / EXPERTS / name)
        progress.line(f"{EXPERTS}/{name}: {classes[name] or f'{stored.family.name}, in the layout of mixvel'}")
    about = {"format": FORMAT, "mixvel": __version__}
    routed = choice.router is not None
    monolith = experts.get(MONOLITH)
    family = {
        "expert": plain(next(iter(experts.values())).family),
        "count": len(run.models.experts) if routed else 0,
        "shared": SHARED in experts,
        MONOLITH: None if monolith is None else plain(monolith.family),
    }
    _write_part(folder, EXPERTS, about | family)
    if choice.router is not None:
        router = run.models.routers[choice.router]
        write_router(router, [part.count for part in run.shards.parts], folder / ROUTER)
        _write_part(folder, ROUTER, read_json(router.folder / CONFIG) | about)
    if run.shards.codec is not None:
        _write_part(folder, CODEC, about | {"codec": write_codec(run.shards, folder / CODEC)})
    _write_part(folder, SCHEDULE, about | {"schedule": plain(recipe.schedule)})
    plugins = _plugins(run, choice)
    _write_part(folder, SAMPLER, about | {"sample": sample_section(choice), "plugins": plugins})
    write_text(folder / f"{MODULE}.py", pipeline_file())
    absent = [part for part, here in ((ROUTER, routed), (CODEC, run.shards.codec is not None)) if not here]
    write_json(folder / INDEX, _index(absent))
    write_text(folder / CARD, model_card(run, choice, classes, plugins))


def places_of(folder: Path) -> list[str]:
    """The paths of one machine that an exported folder names, as in ``experts/config.json: expert.path: /models/0``."""
    files = sorted(path for path in folder.rglob("*.json"))
    return [f"{path.relative_to(folder)}: {place}" for path in files for place in places_in(read_json(path))]


def _write_part(folder: Path, part: str, about: Mapping[str, Any]) -> None:
    write_json(folder / part / CONFIG, dict(about))
    write_text(folder / part / f"mixvel_{part}.py", component_file(part))


def _index(absent: Sequence[str]) -> dict[str, Any]:
    """As diffusers reads it: the class of the pipeline, and module and class of each part."""
    from importlib.metadata import version

    parts = (EXPERTS, ROUTER, SCHEDULE, SAMPLER, CODEC)
    listed: dict[str, list[str | None]] = {part: [f"mixvel_{part}", f"{part.capitalize()}Part"] for part in parts}
    listed |= {part: [None, None] for part in absent}
    return {"_class_name": [MODULE, CLASS_NAME], "_diffusers_version": version("diffusers"), **listed}


def sample_section(choice: ExportChoice) -> dict[str, Any]:
    """The settings as a recipe's section ``sample``, without what is of this machine."""
    model = MONOLITH if choice.router is None else "experts"
    usual = {"launcher": None, "threads": None, "compile": False, "count": 1, "seeds": [0]}
    section: dict[str, Any] = plain(choice.options)
    return section | usual | {"methods": {ROW: {"model": model}}}


def _plugins(run: Run, choice: ExportChoice) -> list[dict[str, str]]:
    """All that have to be installed where the folder is loaded, with their packages."""
    used: list[Any] = [run.recipe.schedule, choice.options.integrator]
    if choice.router is not None:
        used += [choice.options.selector, run.models.routers[choice.router].family]
    used += [use for use in (choice.options.guidance, codec_of(run.recipe)) if use is not None]
    used += [stored.family for stored in _experts(run, choice).values()]
    names = {(use.kind, use.name) for part in used for use in uses_in(part)}
    return [
        {"kind": one.kind, "name": one.name, "package": one.distribution, "version": one.version}
        for one in load_registry().entries()
        if (one.kind, one.name) in names
    ]
