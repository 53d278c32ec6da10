"""Images of any origin to noise and back, by the models of a finished run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from attrs import evolve, frozen

from mixvel_core.artifacts.arrays import read_arrays, write_arrays
from mixvel_core.artifacts.artifact import key_of
from mixvel_core.errors import UsageError
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.loaded import Loaded, models_key
from mixvel_core.pipeline.more_samples import OutputFiles
from mixvel_core.pipeline.opened import Run, open_run
from mixvel_core.pipeline.sample_conditions import given_condition
from mixvel_core.pipeline.sample_files import CONDITION
from mixvel_core.pipeline.sample_specs import sample_artifact
from mixvel_core.pipeline.some_items import conditions_of_some, some_items
from mixvel_core.protocols import CLASS, Progress
from mixvel_core.recipe.grids import Grid
from mixvel_core.recipe.model import SampleOptions

if TYPE_CHECKING:
    from torch import Tensor

    from mixvel_core.protocols import Condition
    from mixvel_core.sampling.inversion import RoundTrip
    from mixvel_core.sampling.sampler import Sampler


@frozen(kw_only=True)
class PathDefaults:
    """How items are encoded by default: names of plugins, and the number of steps each way."""

    selector: str = "mixture"
    integrator: str = "pc"
    grid: Grid = "chebyshev"
    steps: int = 50


PATH = PathDefaults()
"""Measured on trained networks (docs/sampling.md)."""


@frozen(kw_only=True)
class EncodedFiles:
    """``files``: arrays (NPZ) and, of images, a picture (PNG). ``error``: ||decoded - x|| / ||x|| of each item, rising.
    ``evaluations``: the mean of expert calls an item, both ways together."""

    files: tuple[Path, ...]
    error: tuple[float, ...]
    evaluations: float


def encode_run(
    folder: Path,
    images: Sequence[Path],
    overrides: Sequence[str],
    *,
    count: int,
    router: str | None,
    monolith: bool,
    out: Path,
    progress: Progress,
    classes: Sequence[int | str] = (),
) -> EncodedFiles:
    """Encodes and decodes items by the models of a run.

    Args:
        folder: the run.
        images: files and folders; none: ``count`` of the run's own items, at random.
        overrides: of its recipe's ``sample`` section; one step count.
        count: how many of the run's own items, all if there are fewer.
        router: by name; the recipe's first one if None.
        monolith: encode by the monolith instead.
        out: where the files go: arrays ``noise``, ``items``, ``decoded``, ``error``, ``evaluations`` and, under
            conditions, ``condition.NAME``; and where items are images, a picture of rows of items, each above what
            came back. With a codec ``latents`` of the items are what is followed, ``noise`` and ``error`` are theirs,
            and ``decoded`` are items of the latents that came back.
        progress: a bar of image steps.
        classes: those of the items in turn, by number or name; none: the run's own items have their own conditions, and
            images the null one.

    Raises:
        MixvelError: the run is not as it was made, a file cannot be read or holds items of another shape, or the
            selector, the router or the integrator cannot be followed back.
    """
    run = open_run(folder, overrides)
    options = run.recipe.sample
    items, x = _items(run, images, count)
    condition = _condition(run, len(items), classes, own=not images)
    spec = run.sample_spec(options, router=router, monolith=monolith, rows=condition)
    spec = spec if condition is not None else evolve(spec, condition=None)
    models_digest = models_key(run.models, spec.router, by_weaker=spec.by_weaker)
    # Samples of these options have this key; with the items it is that of their encoding.
    key = key_of(
        samples=sample_artifact(spec, options, models_digest, out).key,
        items=hashlib.blake2b(np.ascontiguousarray(x).data).hexdigest(),
        shape=list(x.shape),
    )
    made = OutputFiles(folder=out, stem=f"encoded-{spec.stem}-{key[:8]}")
    with made.locked(folder):
        if made.arrays.exists():
            progress.line("these items are encoded already; remove the file to do it again")
            error, evaluations = read_arrays(made.arrays, "error", "evaluations")
        else:
            there_and_back = _moved(Loaded(run.models, options).sampler(spec), x, condition, options, progress)
            found = {name: value.cpu().numpy() for name, value in _arrays(run, there_and_back).items()}
            latents = {} if run.shards.codec is None else {"latents": x}
            error, evaluations = found["error"], found["evaluations"]
            _write_picture(made.picture, items, found["decoded"])
            # The arrays last: where they are, all is.
            write_arrays(made.arrays, {"items": items, **latents, **found})
    return EncodedFiles(
        files=tuple(made.existing),
        error=tuple(sorted(map(float, error))),
        evaluations=float(evaluations.mean()),
    )


def _items(run: Run, images: Sequence[Path], count: int) -> tuple[np.ndarray, np.ndarray]:
    """The items, (n, *data), and the points that are followed: the items themselves, or a codec's latents of them."""
    import torch

    if images:
        from mixvel_core.data.item_files import read_items

        items = read_items(images, run.shards.data_shape)
        return items, run.encode(torch.from_numpy(items)).numpy()
    if not run.shards.are_local:
        raise UsageError(f"{run.folder}: its data are with their owners; name images to encode")
    x = to_float(some_items(run.shards, count, run.recipe.seed))
    return run.decode(torch.from_numpy(x)).numpy(), x


def _condition(run: Run, count: int, classes: Sequence[int | str], *, own: bool) -> Condition | None:
    """The condition of ``count`` items, of the run's own or others; None for the null one."""
    specs = run.models.conditions
    if classes:
        turn = [classes[i % len(classes)] for i in range(count)]
        return given_condition({CLASS: turn}, specs)
    if not own or not specs:
        return None
    return given_condition(conditions_of_some(run.shards, count, run.recipe.seed), specs)


def _moved(
    sampler: Sampler, items: np.ndarray, condition: Condition | None, options: SampleOptions, progress: Progress
) -> RoundTrip:
    import torch

    from mixvel_core.device import threads
    from mixvel_core.sampling.inversion import round_trip

    steps = 2 * len(items) * sampler.steps
    with threads(options.threads), progress.task("encode and decode", steps, "image steps") as bar:
        return round_trip(
            sampler,
            torch.from_numpy(items),
            condition=condition if sampler.reads else None,
            batch=options.batch,
            on_step=bar.update,
        )


def _arrays(run: Run, found: RoundTrip) -> dict[str, Tensor]:
    given = found.encoded.condition
    return {
        "noise": found.encoded.x,
        "decoded": run.decode(found.decoded.x),
        "error": found.error,
        "evaluations": found.encoded.evaluations + found.decoded.evaluations,
        **({} if given is None else {CONDITION + name: value for name, value in given.values.items()}),
    }


COLUMNS = 8


def _write_picture(path: Path, items: np.ndarray, decoded: np.ndarray) -> None:
    """Where items are images, rows of them, each above the row of what came back."""
    from mixvel_core.data.pictures import grid, is_image, save_png

    if not is_image(items.shape[1:]):
        return
    rows = [part[first : first + COLUMNS] for first in range(0, len(items), COLUMNS) for part in (items, decoded)]
    # A last row that is not full is filled up with white, so that all rows begin at the left.
    full = [np.concatenate([row, np.ones((COLUMNS - len(row), *items.shape[1:]), np.float32)]) for row in rows]
    save_png(grid(np.concatenate(full), columns=COLUMNS, scale=max(1, 64 // items.shape[-1])), path)
