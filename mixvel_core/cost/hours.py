"""How long jobs take: from images a second where they were measured, from FLOPs and two assumptions otherwise."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from attrs import frozen

from mixvel_core.cost.jobs import PlannedJob, Speed
from mixvel_core.cost.networks import Network
from mixvel_core.recipe.model import PlanOptions


@frozen(kw_only=True)
class Rate:
    """Images a second of one worker. ``source``: how it is known, in words. ``device``: what it was
    measured on, empty if it was not."""

    images_per_second: float
    source: str
    device: str


def rate_of(job: PlannedJob, jobs: Sequence[PlannedJob], options: PlanOptions) -> Rate | None:
    """The rate of a job, None where nothing is known.

    Its own, if it was measured; that of a job of the same group; the one that ``options`` states for experts, for other
    networks in proportion to FLOPs; or from FLOPs.
    """
    for other in (job, *(one for one in jobs if one.group == job.group)):
        if other.speed is not None and _alike(job.network, other.network):
            return _measured(other.speed, job is other)
    expert = next((one.network for one in jobs if one.group == "experts"), None)
    if options.images_per_second is not None and expert is not None and job.network is not None:
        scale = expert.training / job.network.training
        return Rate(images_per_second=options.images_per_second * scale, source="stated", device="")
    if job.network is None or not job.network.training:
        return None
    usable = options.utilisation * options.peak_teraflops * 1e12
    return Rate(images_per_second=usable / job.network.training, source="FLOPs", device="")


def _alike(one: Network | None, other: Network | None) -> bool:
    return one is None or other is None or one.training == other.training


def _measured(speed: Speed, own: bool) -> Rate:
    return Rate(
        images_per_second=speed.images_per_second / speed.workers,
        source="measured" if own else "measured on one like it",
        device=speed.device,
    )


def makespan(seconds: Sequence[float], at_once: int) -> float:
    """How long jobs take together, ``at_once`` at a time and the longest first, as launchers run them."""
    ends = [0.0] * min(at_once, max(1, len(seconds)))
    for one in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + one)
    return max(ends)
