"""`mixvel sample`: more samples of a run, and the files that commands make of one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from mixvel_core.artifacts.artifact import Artifact, check_bytes
from mixvel_core.artifacts.lock import locked
from mixvel_core.errors import UsageError
from mixvel_core.pipeline.loaded import models_key
from mixvel_core.pipeline.opened import Run, open_run, unfinished
from mixvel_core.pipeline.parts import forget_parts, mapper_of, sample_jobs
from mixvel_core.pipeline.sample import model_source, sample_job
from mixvel_core.pipeline.sample_conditions import rows_in
from mixvel_core.pipeline.sample_files import write_samples
from mixvel_core.pipeline.sample_specs import sample_artifact
from mixvel_core.protocols import Progress

if TYPE_CHECKING:
    from torch import Tensor


@frozen(kw_only=True)
class OutputFiles:
    """What a command makes of an opened run: arrays (NPZ) and, where items are images, a picture (PNG).

    ``folder``: where they go. ``stem``: their name, which ends with a digest of all that they depend on.
    """

    folder: Path
    stem: str

    @property
    def arrays(self) -> Path:
        return self.folder / f"{self.stem}.npz"

    @property
    def picture(self) -> Path:
        return self.folder / f"{self.stem}.png"

    @property
    def existing(self) -> list[Path]:
        """Those that are there."""
        return [path for path in (self.arrays, self.picture) if path.exists()]

    def locked(self, run: Path) -> AbstractContextManager[None]:
        """No other process writes them. A ``run`` that is at work removes unfinished files wherever in it they lie."""
        return locked(run if self.folder.absolute().is_relative_to(run.absolute()) else self.folder)


def sample_run(
    folder: Path,
    overrides: Sequence[str],
    *,
    router: str | None,
    monolith: bool,
    out: Path,
    progress: Progress,
    verify: bool = False,
    condition: Path | None = None,
) -> list[Path]:
    """More samples of a finished run.

    Args:
        folder: the run.
        overrides: of its recipe's ``sample`` section; one step count and one seed.
        router: by name; the recipe's first one if None.
        monolith: sample from the monolith instead.
        out: where the files go.
        progress: a bar of image steps.
        condition: an NPZ file of what samples are asked to be, by name, a row for each or one for all; None: as the
            recipe or its overrides say.
        verify: read all bytes of the run, not only of files whose size or time changed.

    Returns:
        The files: arrays (NPZ) and, where items are images, a picture (PNG). With a codec, ``x`` are latents, and the
        decoded ``items`` stand beside them. Where an earlier call with the same
        options and models has left them, they stay as they are.

    Raises:
        MixvelError: the run is not as it was made, or another process is at work where the files go.
    """
    run = open_run(folder, overrides, partly=True)
    if verify:
        check_bytes(folder)
    _check_made(run, router, monolith)
    options = run.recipe.sample
    if len(options.steps) != 1 or len(options.seeds) != 1:
        raise UsageError("one call samples one of sample.steps and one of sample.seeds; call it for each")
    rows = None if condition is None else rows_in(condition, run.models.conditions, options.count)
    spec = run.sample_spec(options, router=router, monolith=monolith, rows=rows)
    # Parts are kept beside this until all are there, by the key of the same samples in the run's table.
    models_digest = models_key(run.models, spec.router, by_weaker=spec.by_weaker)
    key = sample_artifact(spec, options, models_digest, out).key
    kept = Artifact(folder=out, key=key, name=f".{key[:16]}")
    made = OutputFiles(folder=out, stem=f"{spec.stem}-seed-{spec.seed}-{key[:8]}")
    with made.locked(folder):
        if made.arrays.exists():
            progress.line("these samples are there already; remove the file to make them again")
            return made.existing
        given = run.models.condition(spec, options.count) if rows is None else rows
        job = sample_job("sample", spec, options.count, kept, given)
        models = model_source(run.models, options, folder)
        [(_, sampled)] = sample_jobs(models, [job], mapper_of(options.launcher), options.batch, progress)
        items = run.decode(sampled.samples.x.float())
        _write_picture(made.picture, items)
        # The arrays last: where they are, all is.
        write_samples(made.arrays, sampled.samples, items=None if run.shards.codec is None else items)
        forget_parts(kept)
        return made.existing


def _check_made(run: Run, router: str | None, monolith: bool) -> None:
    """Raises UsageError where what is to be sampled is a model of the recipe that is not made yet."""
    recipe, models = run.recipe, run.models
    name = router or next(iter(recipe.routers))
    if monolith and recipe.monolith is not None and models.monolith is None:
        raise unfinished(run.folder, "the monolith", None)
    if not monolith and (not models.experts or (name in recipe.routers and name not in models.routers)):
        raise unfinished(run.folder, f"router {name}" if models.experts else "an expert", None)


def _write_picture(path: Path, x: Tensor) -> None:
    """Where items are images, the PNG file of all of them."""
    from mixvel_core.data.pictures import grid, is_image, save_png

    if is_image(tuple(x.shape[1:])):
        save_png(grid(x.float().cpu().numpy(), columns=8, scale=max(1, 64 // x.shape[-1])), path)
