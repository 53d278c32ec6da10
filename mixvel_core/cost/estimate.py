"""The plan of a cluster, in words: jobs, workers, images, hours and bytes of a recipe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any

from attrs import frozen

from mixvel_core.cost.hours import Rate, makespan, rate_of
from mixvel_core.cost.jobs import PlannedJob, planned_jobs
from mixvel_core.cost.sampling import sampling
from mixvel_core.cost.stored import bytes_of
from mixvel_core.cost.words import amount, duration
from mixvel_core.protocols import Shard
from mixvel_core.recipe.model import Recipe

_HEADER = ("jobs", "images each", "parameters", "FLOP an image", "images/s", "time each", "in all", "known by")
_WIDTH, _INDENT = 120, 12


@frozen(kw_only=True)
class _Timed:
    """A job, the rate of one worker, and the seconds of one worker that it takes."""

    job: PlannedJob
    rate: Rate | None

    @property
    def seconds(self) -> float | None:
        return None if self.rate is None else self.job.images / self.rate.images_per_second


def estimate(recipe: Recipe, folder: Path, parts: Sequence[Shard]) -> list[str]:
    """Lines of text. Where nothing is trained they are about sampling and storage alone."""
    jobs = planned_jobs(recipe, folder, parts)
    timed = [_Timed(job=job, rate=rate_of(job, jobs, recipe.plan)) for job in jobs]
    table = [*_table(timed), ""] if jobs else []
    said = [*sampling(recipe, jobs, len(parts)), *bytes_of(recipe, parts, jobs)]
    if jobs:
        said = [*_launch(recipe, timed), *said, *_assumed(recipe, timed)]
    return table + [line for long in said for line in wrap(long, _WIDTH, subsequent_indent=" " * _INDENT)]


def _table(timed: Sequence[_Timed]) -> Iterator[str]:
    rows = [_HEADER, *(_row(list(alike)) for _, alike in groupby(timed, key=_look))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADER))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _look(one: _Timed) -> tuple[object, ...]:
    """Jobs of a group that look alike share a row."""
    job, rate = one.job, one.rate
    return job.group, job.images, job.network, None if rate is None else rate.source


def _row(alike: Sequence[_Timed]) -> tuple[str, ...]:
    first, last, rate = alike[0].job, alike[-1].job, alike[0].rate
    name = first.name if len(alike) == 1 else f"{len(alike)}: {first.name} to {last.name}"
    network = first.network
    sizes = (amount(network.parameters), amount(network.training, "FLOP")) if network else ("not known", "not known")
    if rate is None:
        return name, amount(first.images), *sizes, "not known", "", "", ""
    seconds = [one.seconds or 0.0 for one in alike]
    mean = len(alike) / sum(1.0 / one.rate.images_per_second for one in alike if one.rate is not None)
    return (
        name,
        amount(first.images),
        *sizes,
        amount(mean),
        duration(sum(seconds) / len(seconds)),
        f"{duration(sum(seconds))} of {rate.device}" if rate.device else duration(sum(seconds)),
        rate.source,
    )


def _launch(recipe: Recipe, timed: Sequence[_Timed]) -> Iterator[str]:
    workers, resources = _workers(recipe.launcher.options)
    known = [one.seconds for one in timed if one.seconds is not None]
    total = f"{duration(sum(known))} of a worker" if known else "hours not known"
    missing = f", without {len(timed) - len(known)} whose speed is not known" if len(known) < len(timed) else ""
    images = amount(sum(one.job.images for one in timed))
    yield f"in all      {len(timed)} jobs of {resources}, {images} images, {total}{missing}"
    at_once = recipe.plan.at_once or getattr(recipe.launcher.options, "parallel", None)
    if at_once is None:
        yield "at once     as many as the cluster holds; set plan.at_once for a wall-clock time"
        return
    waves = math.ceil(len(timed) / at_once)
    wall = f", {duration(makespan([one / workers for one in known], at_once))} in all" if known else ""
    if wall and workers > 1:
        wall += f" if {workers} workers are {workers} times as fast as one"
    yield f"at once     {at_once}: {waves} wave{'s' if waves > 1 else ''}{wall}, without the start of jobs"


def _workers(options: Any) -> tuple[int, str]:
    """Workers of a job, and what each reserves: of launchers that have such options, whatever they are called."""
    workers = getattr(options, "workers", 1)
    cpus, gpus = getattr(options, "cpus", None), getattr(options, "gpus", None)
    each = [f"{value:g} {name}" for name, value in (("CPU", cpus), ("GPU", gpus)) if value]
    more = [f"{value:g} {name}" for name, value in getattr(options, "resources", {}).items()]
    reserved = f" ({', '.join([*each, *more])} each)" if each or more else ""
    return workers, f"{workers} worker{'s' if workers > 1 else ''}{reserved}"


def _assumed(recipe: Recipe, timed: Sequence[_Timed]) -> Iterator[str]:
    sources = {one.rate.source for one in timed if one.rate is not None}
    if "FLOPs" in sources:
        plan = recipe.plan
        yield (
            f"assumed     {plan.utilisation:g} of {plan.peak_teraflops:g} TFLOP/s where nothing was measured: an order "
            "of magnitude for networks that fill a device, and far too fast for small ones; set plan.utilisation and "
            "plan.peak_teraflops, or plan.images_per_second"
        )
    yield "counted     matrix products and convolutions, forwards and backwards; exact posteriors and scores are not"
