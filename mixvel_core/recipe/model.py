"""Recipe: one file from data to report. The sections stand in the order of the work.

Checked by ``mixvel_core.recipe.structure``; every field is made by ``option``, so its doc and range are the
reference that ``mixvel check`` and the docs print.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import frozen

from mixvel_core.plugin.options import at_least, each, from_up_to, option
from mixvel_core.recipe.use import (
    DataUse,
    ExpertUse,
    IntegratorUse,
    LauncherUse,
    MetricUse,
    PartitionerUse,
    RouterUse,
    ScheduleUse,
    SelectorUse,
)


@frozen(kw_only=True)
class Method:
    """One row of the table: what is sampled, and how. What is not said is taken from ``sample``."""

    model: Literal["experts", "monolith"] = option(
        default="experts", doc="sample from the routed experts or from the monolith"
    )
    router: str | None = option(default=None, doc="the name of a router under `routers`; the first one if absent")
    selector: SelectorUse | None = option(default=None, doc="the selector; `sample.selector` if absent")
    integrator: IntegratorUse | None = option(default=None, doc="the integrator; `sample.integrator` if absent")


@frozen(kw_only=True)
class SampleOptions:
    """Which methods are sampled, at which step counts."""

    count: int = option(default=256, check=at_least(1), doc="samples for each method, step count and seed")
    steps: tuple[int, ...] = option(default=(10, 25), check=each(at_least(1)), doc="step counts, the table's columns")
    seeds: tuple[int, ...] = option(default=(0,), check=each(at_least(0)), doc="seeds; mean and spread are reported")
    grid: Literal["uniform", "logsnr", "quadratic", "karras"] = option(
        default="uniform", doc="how the steps are spread over time"
    )
    delta: float = option(default=0.01, check=from_up_to(0, 1), doc="the time at which sampling stops")
    batch: int = option(default=256, check=at_least(1), doc="samples moved together; no effect on results")
    selector: SelectorUse = option(doc="the selector of methods that name none")
    integrator: IntegratorUse = option(doc="the integrator of methods that name none")
    methods: Mapping[str, Method] = option(doc="the rows of the table, by name")


@frozen(kw_only=True)
class EvaluateOptions:
    """How samples are scored."""

    metrics: tuple[MetricUse, ...] = option(doc="the metrics; each is also measured between real and real")
    seed: int = option(default=0, check=at_least(0), doc="seed of the choice of real items to compare with")


@frozen(kw_only=True)
class ReportOptions:
    """What the report shows."""

    images: int = option(default=64, check=at_least(1), doc="samples shown for each method and step count")


@frozen(kw_only=True)
class Recipe:
    """A whole experiment."""

    name: str = option(doc="the run is kept in runs/NAME unless --out says otherwise")
    seed: int = option(default=0, check=at_least(0), doc="root of the tree of seeds")
    data: DataUse = option(doc="where the items come from")
    partition: PartitionerUse = option(doc="how they are split into shards")
    schedule: ScheduleUse = option(doc="the noise schedule of training and sampling")
    expert: ExpertUse = option(doc="the family of experts, one for each shard")
    monolith: ExpertUse | None = option(
        default=None, doc="one expert for the whole data set, the unrouted baseline; absent: none is made"
    )
    routers: Mapping[str, RouterUse] = option(doc="the routers, by the name that methods call them by")
    sample: SampleOptions = option(doc="what is sampled")
    evaluate: EvaluateOptions = option(doc="how it is scored")
    report: ReportOptions = option(factory=ReportOptions, doc="what the report shows")
    launcher: LauncherUse = option(doc="where training runs")
