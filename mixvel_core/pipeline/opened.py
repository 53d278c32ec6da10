"""A finished run, opened again: to sample more from it, to study it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from mixvel_core.artifacts.artifact import check_bytes
from mixvel_core.artifacts.lock import locked
from mixvel_core.errors import ArtifactError, MixvelError, UsageError
from mixvel_core.pipeline.models import model_stages
from mixvel_core.pipeline.partition import partition_artifact, stored_shards
from mixvel_core.pipeline.parts import SampleJob, mapper_of, sample_in_parts
from mixvel_core.pipeline.run_folder import check_recipe
from mixvel_core.pipeline.sample import Loaded, Models, ModelsSource, SampleSpec, write_samples
from mixvel_core.pipeline.shards import Shards
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import Progress
from mixvel_core.recipe.model import Recipe, SampleOptions
from mixvel_core.recipe.resolve import load_recipe

if TYPE_CHECKING:
    from mixvel_core.sampling.sampler import Samples


@frozen(kw_only=True)
class Run:
    """A run folder whose models are all there."""

    folder: Path
    recipe: Recipe
    shards: Shards
    models: Models


def open_run(folder: Path, overrides: Sequence[str] = ()) -> Run:
    """The run in ``folder``; nothing is trained.

    Args:
        folder: the run folder, which describes itself.
        overrides: of the parts of its recipe that say how to sample.

    Raises:
        UsageError: there is no run, or its models are not all made yet.
        ArtifactError: its recipe, shards or models are damaged; names the file.
    """
    path = folder / "recipe.yaml"
    if not path.exists():
        raise UsageError(f"{folder}: no run here (recipe.yaml is missing); `mixvel run RECIPE` makes one")
    check_recipe(folder)
    recipe = load_recipe(path, overrides, load_registry())
    artifact = partition_artifact(recipe, folder)
    shards = stored_shards(artifact)
    if shards is None:
        raise _unfinished(folder, "its partition", artifact.first_damaged())
    stages = model_stages(recipe, folder, shards)
    if missing := stages.missing():
        raise _unfinished(folder, missing, stages.first_damaged())
    return Run(folder=folder, recipe=recipe, shards=shards, models=stages.models)


def _unfinished(folder: Path, what: str, damage: Path | None) -> MixvelError:
    again = f"`mixvel run {folder / 'recipe.yaml'} --out {folder}` makes it"
    if damage is not None:
        return ArtifactError(f"{damage}: {'damaged' if damage.exists() else 'missing'}; {again} again")
    return UsageError(f"{folder}: {what} is not made yet; {again}")


def sample_run(
    folder: Path,
    overrides: Sequence[str],
    *,
    router: str | None,
    monolith: bool,
    out: Path,
    progress: Progress,
    verify: bool = False,
) -> list[Path]:
    """More samples of a finished run.

    Args:
        folder: the run.
        overrides: of its recipe's ``sample`` section; one step count and one seed.
        router: by name; the recipe's first one if None.
        monolith: sample from the monolith instead.
        out: where the files go.
        progress: a bar of image steps.
        verify: read all bytes of the run, not only of files whose size or time changed.

    Returns:
        The files written: arrays (NPZ) and, where items are images, a picture (PNG).

    Raises:
        MixvelError: the run is not as it was made, or another process is at work where the files go.
    """
    finished = open_run(folder, overrides)
    if verify:
        check_bytes(folder)
    options = finished.recipe.sample
    if monolith and finished.models.monolith is None:
        raise UsageError(f"{folder}: the recipe makes no monolith")
    names = list(finished.models.routers)
    if router is not None and router not in names:
        raise UsageError(f"no router is called {router!r}; the run has {', '.join(names)}")
    draw = SampleSpec(
        method="more",
        steps=options.steps[0],
        seed=options.seeds[0],
        selector=options.selector,
        integrator=options.integrator,
        router=None if monolith else router or names[0],
        weights=options.weights,
    )
    # A run that is at work removes unfinished files wherever they lie in its folder.
    with locked(folder if out.absolute().is_relative_to(folder.absolute()) else out):
        return _written(_sampled(finished, draw, options, progress), draw, out)


def _written(samples: Samples, draw: SampleSpec, out: Path) -> list[Path]:
    from mixvel_core.data.pictures import grid, is_image, save_png

    source = "monolith" if draw.router is None else f"{draw.router}-{draw.selector.name}"
    stem = f"{source}-{draw.integrator.name}-{draw.steps}-seed-{draw.seed}"
    write_samples(out / f"{stem}.npz", samples)
    files = [out / f"{stem}.npz"]
    shape = tuple(samples.x.shape[1:])
    if is_image(shape):
        side = shape[-1]
        picture = grid(samples.x.float().cpu().numpy(), columns=8, scale=max(1, 64 // side))
        save_png(picture, out / f"{stem}.png")
        files.append(out / f"{stem}.png")
    return files


def _sampled(finished: Run, draw: SampleSpec, options: SampleOptions, progress: Progress) -> Samples:
    if options.launcher is not None:
        lot = SampleJob(label="sample", what=draw, count=options.count, steps=draw.steps, seed=draw.seed)
        source = ModelsSource(models=finished.models, options=options, folder=finished.folder.absolute())
        [(_, drawn)] = sample_in_parts(source, [lot], mapper_of(options.launcher), options.batch, progress)
        return drawn.samples
    from mixvel_core.device import threads

    loaded = Loaded(finished.models, options)
    sampler = loaded.sampler(draw)
    with threads(options.threads), progress.task("sample", options.count * draw.steps, "image steps") as bar:
        return sampler.sample(
            count=options.count,
            shape=loaded.shape,
            seed=draw.seed,
            batch=options.batch,
            device=loaded.device,
            on_step=bar.update,
        )
