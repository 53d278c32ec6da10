"""Recipe: one file from data to report. The sections stand in the order of the work.

Checked by ``mixvel_core.recipe.structure``; every field is made by ``option``, so its doc and range are the
reference that ``mixvel check`` and the docs print.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal, TypeAlias

from attrs import frozen

from mixvel_core.plugin.definition import (
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
from mixvel_core.plugin.options import OptionCheck, above, above_up_to, at_least, each, from_up_to, option
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
class ShiftedGrid:
    """The grid ``uniform`` with its steps moved towards noise, as flow matching does."""

    shift: float = option(
        check=above(0), doc="s of t = s u/(1 + (s - 1) u), u uniform; above 1 for more steps near noise"
    )


GridName: TypeAlias = Literal["uniform", "logsnr", "quadratic", "karras", "angle", "angle-quadratic", "chebyshev"]
StudyGrid: TypeAlias = GridName | ShiftedGrid | tuple[float, ...]
Grid: TypeAlias = Literal[GridName, "native"] | ShiftedGrid | tuple[float, ...]
"""A grid by its name, ``{shift: s}``, or its times."""

TIMES = OptionCheck(
    text="a grid, or a list of times that fall from 1",
    holds=lambda v: not isinstance(v, tuple) or _is_falling(v),
)


def _is_falling(times: tuple[float, ...]) -> bool:
    return len(times) > 1 and times[0] == 1.0 and times[-1] >= 0.0 and all(t > s for t, s in pairwise(times))


def grid_name(grid: Grid) -> str:
    """A grid in words: its name, ``shift 3``, or its times."""
    if isinstance(grid, ShiftedGrid):
        return f"shift {grid.shift:g}"
    return grid if isinstance(grid, str) else f"[{', '.join(f'{t:g}' for t in grid)}]"


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
    delta: float = option(default=0.01, check=STOP, doc="the time at which sampling stops")
    batch: int = option(default=256, check=at_least(1), doc="samples moved together; no effect on results")
    weights: WeightOptions = option(factory=WeightOptions, doc="what is done to the router's weights")
    threads: int | None = option(
        default=None,
        check=at_least(1),
        doc="threads of torch while sampling; absent: torch's own number. 1 is safest for small networks on few cores",
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

    def __attrs_post_init__(self) -> None:
        """Raises ValueError where all items would be compared with themselves."""
        if self.reference == "all" and self.data is None:
            raise ValueError("reference: `all` takes the floor from the shards; name `data` that is none of them")


NOT_EMPTY = OptionCheck(text="a list, not empty", holds=lambda v: len(v) > 0)


@frozen(kw_only=True)
class LikelihoodOptions:
    """How items are scored by their likelihood, in bits per dimension."""

    count: int = option(default=64, check=at_least(2), doc="items, at random: of `evaluate.data`, else of the shards")
    probes: int | None = option(
        default=None,
        check=at_least(1),
        doc="probes of Hutchinson's estimate of the trace; absent: 1, or the exact trace up to 32 dimensions",
    )
    levels: int | None = option(
        default=None,
        check=at_least(2),
        doc="values from -1 to 1, each moved evenly within its step; absent: 256 of bytes, no steps of floats",
    )


@frozen(kw_only=True)
class StudyOptions:
    """What `mixvel study` measures: every selector with every integrator, grid and step count, from the same noise."""

    selectors: tuple[SelectorUse, ...] | None = option(
        default=None, check=NOT_EMPTY, doc="the selectors; absent: mixture, cached, sum-up and iid"
    )
    integrators: tuple[IntegratorUse, ...] | None = option(
        default=None, check=NOT_EMPTY, doc="the integrators; absent: ddim and 2m"
    )
    grids: tuple[StudyGrid, ...] = option(
        default=("uniform",), check=each(TIMES), doc="how the steps are spread over time; each as `sample.grid`"
    )
    steps: tuple[int, ...] = option(default=(10, 20, 40, 80), check=each(at_least(1)), doc="step counts")
    count: int = option(default=128, check=at_least(1), doc="samples")
    seed: int = option(default=0, check=at_least(0), doc="seed of the noise they start from and of the bootstrap")
    reference: Literal["dopri5", "ddim-1000"] = option(
        default="dopri5",
        doc="what errors are distances from: the full mixture's ODE solved adaptively, or by 1000 DDIM steps",
    )
    tolerance: float | None = option(
        default=None,
        check=above(0),
        doc="relative and absolute tolerance of dopri5; absent: 1e-9 for closed forms in float64, else 1e-5",
    )
    precision: Literal["auto", "float32", "float64"] = option(
        default="auto", doc="type of the points; auto: float64 where experts and router are closed forms"
    )
    range: tuple[int, int] | None = option(
        default=None, doc="smallest and largest step count that slopes are fitted to; absent: all"
    )
    router: str | None = option(default=None, doc="the name of a router under `routers`; the first one if absent")
    round_trip: int = option(
        default=16, check=at_least(0), doc="items encoded and decoded by every curve that follows an ODE; 0: none"
    )
    interpolations: int = option(
        default=3, check=at_least(0), doc="pairs of images between which the report interpolates in the noise; 0: none"
    )
    likelihood: LikelihoodOptions | None = option(default=None, doc="the likelihood of items; absent: none is computed")

    def __attrs_post_init__(self) -> None:
        for name in ("selectors", "integrators", "grids", "steps"):
            values = getattr(self, name) or ()
            for index, value in enumerate(values):
                if value in values[:index]:
                    raise ValueError(f"{name}: {getattr(value, 'name', value)} appears twice; remove one")
        if self.range is not None and len(self.fitted) < 2:
            low, high = self.range
            raise ValueError(f"range: fewer than two of the steps lie within {low} to {high}, too few for a slope")

    @property
    def fitted(self) -> tuple[int, ...]:
        """The step counts that slopes are fitted to, rising."""
        low, high = self.range or (min(self.steps), max(self.steps))
        return tuple(sorted(n for n in self.steps if low <= n <= high))


@frozen(kw_only=True)
class TheoryOptions:
    """What `mixvel theory` measures: where the error of every selector with every integrator comes from."""

    selectors: tuple[SelectorUse, ...] | None = option(
        default=None, check=NOT_EMPTY, doc="the selectors; absent: iid, sum-up, cached and switching"
    )
    integrators: tuple[IntegratorUse, ...] | None = option(
        default=None, check=NOT_EMPTY, doc="the integrators; absent: euler, the paper's"
    )
    steps: tuple[int, ...] = option(
        default=(8, 16, 32), check=each(at_least(1)), doc="step counts, on the uniform grid; slopes need two"
    )
    count: int | None = option(
        default=None, check=at_least(2), doc="trajectories; absent: 64 for closed forms, 32 for networks"
    )
    seed: int = option(default=0, check=at_least(0), doc="seed of the noise they start from, of points and bootstrap")
    radius: float | None = option(
        default=None, check=above(0), doc="R: no data point is longer; absent: the longest item of the data set"
    )
    tolerance: float | None = option(
        default=None,
        check=above(0),
        doc="relative and absolute tolerance of the reference; absent: 1e-7, of an empirical law 1e-6",
    )
    router: str | None = option(default=None, doc="the name of a router under `routers`; the first one if absent")


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
    partition: PartitionerUse | None = option(doc="how they are split into shards; null where `data` is")
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
