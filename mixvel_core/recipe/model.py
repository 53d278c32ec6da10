"""Recipe: one file from data to report. The sections stand in the order of the work.

Checked by ``mixvel_core.recipe.structure``; every field is made by ``option``, so its doc and range are the
reference that ``mixvel check`` and the docs print.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import frozen

from mixvel_core.plugin.definition import (
    CodecUse,
    DataUse,
    ExpertUse,
    GuidanceUse,
    IntegratorUse,
    LauncherUse,
    MetricUse,
    PartitionerUse,
    RouterUse,
    ScheduleUse,
    SelectorUse,
)
from mixvel_core.plugin.options import OptionCheck, above, above_up_to, at_least, each, from_up_to, option
from mixvel_core.recipe.analysis_options import StudyOptions, TheoryOptions
from mixvel_core.recipe.grids import DELTA, TIMES, Grid
from mixvel_core.training.options import TrainOptions


@frozen(kw_only=True)
class WeightOptions:
    """What is done to the router's weights before the selector sees them."""

    temperature: float = option(default=1.0, check=above(0), doc="weights to the power of 1/temperature, scaled")
    floor: float = option(default=0.0, check=from_up_to(0, 1), doc="smaller weights are dropped, the rest scaled")
    top: int | None = option(
        default=None, check=at_least(1), doc="all but the largest weights are dropped, the rest scaled; absent: none"
    )
    soft: float = option(
        default=1.0,
        check=at_least(1),
        doc="small weights reach zero continuously: weights times this, brought back to sum 1 by a subtraction; 1: as "
        "they are",
    )
    from_: float = option(
        default=1.0, check=above_up_to(0, 1), doc="the time at which all this begins; above it weights are the router's"
    )


@frozen(kw_only=True)
class Method:
    """One row of the table: what is sampled, and how. What is absent is taken from ``sample``."""

    model: Literal["experts", "monolith"] = option(
        default="experts", doc="sample from the routed experts or from the monolith"
    )
    router: str | None = option(default=None, doc="the name of a router under `routers`; the first one if absent")
    selector: SelectorUse | None = option(default=None, doc="the selector; `sample.selector` if absent")
    integrator: IntegratorUse | None = option(default=None, doc="the integrator; `sample.integrator` if absent")
    weights: WeightOptions | None = option(
        default=None, doc="what is done to the router's weights; `sample.weights` if absent"
    )
    grid: Grid | None = option(
        default=None, check=TIMES, doc="how the steps are spread over time; `sample.grid` if absent"
    )
    guidance: GuidanceUse | None = option(default=None, before=None, doc="the guidance; `sample.guidance` if absent")


STOP = OptionCheck(text="0, or at least 1e-12 and below 1", holds=lambda v: v == 0 or 1e-12 <= v < 1)
"""Nearer to 0, sigma squared is no number of 32 bits any more; at 0 itself nothing divides by it."""


@frozen(kw_only=True)
class SampleOptions:
    """Which methods are sampled, at which step counts."""

    count: int = option(default=256, check=at_least(1), doc="samples for each method, step count and seed")
    steps: tuple[int, ...] = option(default=(10, 25), check=each(at_least(1)), doc="step counts, the table's columns")
    seeds: tuple[int, ...] = option(default=(0,), check=each(at_least(0)), doc="seeds; mean and spread are reported")
    grid: Grid = option(
        default="uniform",
        check=TIMES,
        doc="how the steps are spread over time: a name, {shift: s}, or a list of times from 1 to delta; native: as "
        "the schedule's own sampler does, with delta 0",
    )
    delta: float = option(default=DELTA, check=STOP, doc="the time at which sampling stops")
    batch: int = option(default=256, check=at_least(1), doc="samples moved together; no effect on results")
    weights: WeightOptions = option(factory=WeightOptions, doc="what is done to the router's weights")
    threads: int | None = option(
        default=None,
        check=at_least(1),
        doc="threads of torch while sampling, and of scores; absent: its own number. 1 is safest for small networks on "
        "few cores",
    )
    launcher: LauncherUse | None = option(
        default=None,
        doc="where samples are made, for routers too, and scored; absent: in this process; no effect on results",
    )
    resident_experts: int | None = option(
        default=None, check=at_least(1), doc="most experts in memory at once; absent: all; no effect on results"
    )
    autocast: bool = option(default=False, doc="let networks compute in bfloat16")
    channels_last: bool = option(default=False, doc="lay out networks channels last; faster on recent GPUs")
    compile: bool = option(default=False, doc="compile the experts; takes minutes, pays on GPUs and for many samples")
    selector: SelectorUse = option(doc="the selector of methods that name none")
    integrator: IntegratorUse = option(doc="the integrator of methods that name none")
    guidance: GuidanceUse | None = option(
        default=None, before=None, doc="the guidance of methods that name none; absent: none, samples follow M_c"
    )
    condition: Literal["auto", "balanced", "from-data"] | tuple[int | str, ...] | None = option(
        default="auto",
        before="auto",
        check=OptionCheck(text="a list, not empty", holds=lambda v: v != ()),
        doc="the conditions of samples: classes in turn, those of items at random, or a list of classes, by number or "
        "name, in turn; null: no condition; auto: balanced where the condition is a class alone, else from-data",
    )
    methods: Mapping[str, Method] = option(doc="the rows of the table, by name")


@frozen(kw_only=True)
class EvaluateOptions:
    """How samples are scored."""

    metrics: tuple[MetricUse, ...] = option(doc="the metrics; each is also measured between real and real")
    seed: int = option(default=0, check=at_least(0), doc="seed of the choice of real items to compare with")
    data: DataUse | None = option(
        default=None, doc="where real items to compare with come from; absent: those of the shards, if they are here"
    )
    reference: Literal["same", "rest", "all"] = option(
        default="same",
        doc="real items to compare with, besides as many as there are samples that are held out for the floor: the "
        "same number again, or all the rest; or all of `data`, and the floor is taken from the shards",
    )

    halves: int = option(
        default=10,
        before=0,
        check=at_least(0),
        doc="random halves of the samples that are scored too, where a method has a single seed: their spread is the "
        "uncertainty of its scores; 0: none",
    )

    def __attrs_post_init__(self) -> None:
        """Raises ValueError where all items would be compared with themselves."""
        if self.reference == "all" and self.data is None:
            raise ValueError("reference: `all` takes the floor from the shards; name `data` that is none of them")


@frozen(kw_only=True)
class PlanOptions:
    """What `mixvel check` assumes where nothing was measured."""

    images_per_second: float | None = option(
        default=None,
        check=above(0),
        doc="of one worker training an expert, measured elsewhere; other networks in proportion to FLOPs",
    )
    peak_teraflops: float | None = option(
        default=None,
        check=above(0),
        doc="peak of a device in TFLOP/s, for hours from FLOPs; 312 is an A100's and 989 an H100's in bfloat16; "
        "absent: no hours where no speed was measured or stated",
    )
    utilisation: float = option(
        default=0.3, check=above_up_to(0, 1), doc="share of the peak that training reaches; an assumption"
    )
    at_once: int | None = option(
        default=None, check=at_least(1), doc="jobs that the cluster holds at once; absent: the launcher's `parallel`"
    )


@frozen(kw_only=True)
class ReportOptions:
    """What the report shows."""

    images: int = option(default=64, check=at_least(1), doc="samples shown for each method and step count")
    calibration: int | None = option(
        default=None,
        check=at_least(1),
        doc="points in each interval of time at which routers are compared with the exact posterior; absent: 128, or "
        "64 of large data",
    )
    diagnostics: int | None = option(
        default=None,
        check=at_least(0),
        doc="trajectories along which disagreement and alignment of the experts are measured, with some 33 evaluations "
        "of each expert for each; 0: none; absent: as many as there are samples, at most 32",
    )


@frozen(kw_only=True)
class Recipe:
    """A whole experiment, from data to report, with every option; what a YAML file resolves to."""

    name: str = option(doc="the run is kept in runs/NAME unless --out says otherwise")
    seed: int = option(default=0, check=at_least(0), doc="root of the tree of seeds")
    smoke: bool = option(
        default=False,
        doc="toy size, to prove that all works; every output is marked. In a recipe file: `key.path: value` lines, "
        "which `--smoke` sets before it makes small what they leave",
    )
    data: DataUse | None = option(
        doc="where the items come from; null in a run that `mixvel assemble` made, whose data stay with their owners"
    )
    codec: CodecUse | None = option(
        default=None,
        before=None,
        doc="latents in place of the items: they are computed once with the shards, experts are trained and sampled in "
        "them, and samples are decoded to be shown and scored; absent: items as they are",
    )
    partition: PartitionerUse | None = option(doc="how they are split into shards; null where `data` is")
    condition: Mapping[str, str] | None = option(
        default=None,
        before=None,
        doc="conditions of the items that experts and routers read, by name, as in {class: labels}: `labels`, an "
        "attribute of the data, or a .npy or .npz file with a row for each item; absent: nothing",
    )
    schedule: ScheduleUse = option(doc="the noise schedule of training and sampling")
    train: TrainOptions | None = option(
        default=None,
        doc="how all networks train, where their own `train` does not set it; resolved, each network has it all",
    )
    expert: ExpertUse = option(doc="the family of experts, one for each shard")
    monolith: ExpertUse | None = option(
        default=None, doc="one expert for the whole data set, the unrouted baseline; absent: none is made"
    )
    routers: Mapping[str, RouterUse] = option(doc="the routers, by the name that methods call them by")
    sample: SampleOptions = option(doc="what is sampled")
    evaluate: EvaluateOptions = option(doc="how it is scored")
    study: StudyOptions | None = option(default=None, doc="what `mixvel study` measures; absent: its defaults")
    theory: TheoryOptions | None = option(default=None, doc="what `mixvel theory` measures; absent: its defaults")
    plan: PlanOptions = option(factory=PlanOptions, doc="what `mixvel check` assumes; no effect on results")
    report: ReportOptions = option(factory=ReportOptions, doc="what the report shows")
    launcher: LauncherUse = option(doc="where training runs")
