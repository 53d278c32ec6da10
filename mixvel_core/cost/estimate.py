"""What a recipe costs on a cluster, in words: jobs, workers, images, evaluations, hours and bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import wrap

from attrs import frozen

from mixvel_core.cost.jobs import CHECKPOINT, WEIGHTS, PlannedJob, Rate, makespan, rate_of
from mixvel_core.cost.quantities import amount, duration
from mixvel_core.pipeline.sample_specs import SampleSpec, sample_specs
from mixvel_core.pipeline.shards import are_local
from mixvel_core.protocols import Shard
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.problems import aligned


def sampling(recipe: Recipe, jobs: Sequence[PlannedJob], experts: int) -> str:
    """A line about sampling. Selectors decide as they go, so of ``experts`` K there are from 1 to K at each step."""
    networks = {job.group: job.network for job in jobs}
    fewest = most = router = low = high = 0.0
    for spec in sample_specs(recipe.sample, list(recipe.routers)):
        evaluated = 1.0 * recipe.sample.count * spec.steps * spec.integrator.build().evaluations
        widest = evaluated * (1 if spec.router is None else experts)
        network = networks.get("monolith" if spec.router is None else "experts")
        weigher = networks.get(f"router {spec.router}")
        each = network.forward if network is not None else 0
        beside = guided_share(spec, recipe)
        if spec.by_weaker:
            weaker = networks.get("monolith")
            flops_beside = evaluated * beside * (weaker.forward if weaker is not None else 0)
            fewest, most = fewest + evaluated * beside, most + evaluated * beside
            low, high = low + flops_beside, high + flops_beside
        else:
            evaluated, widest = evaluated * (1 + beside), widest * (1 + beside)
        # Of several intervals' networks one is evaluated at a time; networks of a router are of one size.
        own = 0.0
        if weigher is not None and spec.router is not None:
            own = evaluated * weigher.forward * recipe.routers[spec.router].networks_a_step
        fewest, most = fewest + evaluated, most + widest
        router, low, high = router + own, low + own + evaluated * each, high + own + widest * each
    flops = f"; {amount(low, 'FLOP')} to {amount(high, 'FLOP')}, of which routers {amount(router, 'FLOP')}"
    what = f"{amount(fewest)} to {amount(most)} evaluations of an expert, by the selector"
    return f"sampling    {what}{flops if high else ''}"


def guided_share(spec: SampleSpec, recipe: Recipe) -> float:
    """The share of a row's steps at which a guidance evaluates its reference too; 0 without one."""
    if spec.guidance is None:
        return 0.0
    # Here, because it loads torch.
    from mixvel_core.sampling.grid import time_grid

    guidance = spec.guidance.build()
    times = time_grid(spec.grid, recipe.schedule.build(), spec.steps, recipe.sample.delta)[:-1]
    return sum(guidance.at(t) != 1.0 for t in times) / len(times)


_FLOAT = 4


def bytes_of(recipe: Recipe, parts: Sequence[Shard], jobs: Sequence[PlannedJob]) -> Iterator[str]:
    """Lines about bytes: shards, checkpoints, networks and samples stored, and what experts of silos have to move."""
    numbers = math.prod(parts[0].shape)
    stored = []
    if are_local(parts):
        size = sum(part.count for part in parts) * numbers * parts[0].items.dtype.itemsize
        stored.append(f"shards {amount(size, 'B')}")
    known = [(job, job.network.parameters) for job in jobs if job.network is not None]
    if known:
        # Each network twice: as the job's result and in the model's folder.
        checkpoints = sum(CHECKPOINT * job.keep * parameters for job, parameters in known)
        models = sum(2 * WEIGHTS * parameters for _, parameters in known)
        stored += [f"checkpoints {amount(checkpoints, 'B')}", f"networks {amount(models, 'B')}"]
    sets = len(list(sample_specs(recipe.sample, list(recipe.routers))))
    stored.append(f"samples {amount(sets * recipe.sample.count * numbers * _FLOAT, 'B')}")
    yield f"stored      {', '.join(stored)}"
    experts = [parameters for job, parameters in known if job.group == "experts"]
    if experts and recipe.expert.is_shared:
        yield "moved       all items to one place, where one network is trained on them for all experts"
    elif experts:
        weights = [WEIGHTS * parameters for parameters in experts]
        moments = 2 * _FLOAT * numbers
        each = amount(max(weights), "B")
        yield (
            f"moved       between silos nothing while they train; then {each} of weights for an expert, "
            f"{amount(sum(weights), 'B')} in all, and {amount(moments, 'B')} for a shard's mean and variance if shared"
        )


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


def estimate(recipe: Recipe, parts: Sequence[Shard], jobs: Sequence[PlannedJob]) -> list[str]:
    """Lines of text on the ``jobs`` of a recipe. Where nothing is trained they are about sampling and storage alone."""
    timed = [_Timed(job=job, rate=rate_of(job, jobs, recipe.plan)) for job in jobs]
    # Jobs of a group that look alike share a row.
    rows = [_row(list(alike)) for _, alike in groupby(timed, key=_look)]
    table = [*aligned([_HEADER, *rows]), ""] if jobs else []
    lines = [sampling(recipe, jobs, len(parts)), *bytes_of(recipe, parts, jobs)]
    if jobs:
        lines = [*_launch(recipe, timed), *lines, *_assumed(recipe, timed)]
    return table + [line for long in lines for line in wrap(long, _WIDTH, subsequent_indent=" " * _INDENT)]


def _look(one: _Timed) -> tuple[object, ...]:
    return one.job.group, one.job.images, one.job.network, one.rate and one.rate.source


def _row(alike: Sequence[_Timed]) -> tuple[str, ...]:
    first, last, rate = alike[0].job, alike[-1].job, alike[0].rate
    name = first.name if len(alike) == 1 else f"{len(alike)}: {first.name} to {last.name}"
    network = first.network
    sizes = (amount(network.parameters), amount(network.training, "FLOP")) if network else ("not known", "not known")
    start = name, amount(first.images), *sizes
    if rate is None:
        return *start, "not measured", "", "", ""
    seconds = [one.seconds or 0.0 for one in alike]
    mean = len(alike) / sum(1.0 / one.rate.images_per_second for one in alike if one.rate is not None)
    total = duration(sum(seconds)) + (f" of {rate.device}" if rate.device else "")
    return *start, amount(mean), duration(sum(seconds) / len(seconds)), total, rate.source


def _launch(recipe: Recipe, timed: Sequence[_Timed]) -> Iterator[str]:
    launched = recipe.launcher.workers()
    workers = launched.count
    reserved = ", ".join(f"{size:g} {name}" for name, size in launched.reserved.items() if size)
    resources = f"{workers} worker{'s' if workers > 1 else ''}" + (f" ({reserved} each)" if reserved else "")
    known = [one.seconds for one in timed if one.seconds is not None]
    total = f"{duration(sum(known))} of a worker" if known else "hours not measured"
    missing = f", without {len(timed) - len(known)} not measured" if known and len(known) < len(timed) else ""
    images = amount(sum(one.job.images for one in timed))
    yield f"in all      {len(timed)} jobs of {resources}, {images} images, {total}{missing}"
    at_once = recipe.plan.at_once or launched.parallel
    if at_once is None:
        yield "at once     as many as the cluster holds; set plan.at_once for a wall-clock time"
        return
    waves = math.ceil(len(timed) / at_once)
    wall = f", {duration(makespan([one / workers for one in known], at_once))} in all" if known else ""
    if wall and workers > 1:
        wall += f" if {workers} workers are {workers} times as fast as one"
    yield f"at once     {at_once}: {waves} wave{'s' if waves > 1 else ''}{wall}, without the start of jobs"


def _assumed(recipe: Recipe, timed: Sequence[_Timed]) -> Iterator[str]:
    plan = recipe.plan
    if any(one.rate is None and one.job.network is not None for one in timed):
        yield (
            "unmeasured  hours are known once such a job has run in the run folder; or set plan.images_per_second of "
            "an expert on one worker, or plan.peak_teraflops, of the device"
        )
    if any(one.rate is not None and one.rate.source == "FLOPs" for one in timed):
        yield (
            f"assumed     {plan.utilisation:g} of {plan.peak_teraflops:g} TFLOP/s where nothing was measured: an order "
            "of magnitude for networks that fill a device, and far too fast for small ones"
        )
    yield "counted     matrix products and convolutions, forwards and backwards; exact posteriors and scores are not"
