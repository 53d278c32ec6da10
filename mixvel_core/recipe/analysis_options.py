"""What a recipe has for `mixvel study` and `mixvel theory`."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from mixvel_core.plugin.definition import GuidanceUse, IntegratorUse, SelectorUse
from mixvel_core.plugin.options import OptionCheck, above, at_least, each, option
from mixvel_core.recipe.grids import TIMES, StudyGrid, grid_name

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
    guidance: GuidanceUse | None = option(
        default=None, before=None, doc="the guidance of what is measured; `sample.guidance` if absent"
    )
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
        for grid in self.grids:
            if isinstance(grid, tuple) and any(n != len(grid) - 1 for n in self.steps):
                fitting = len(grid) - 1
                raise ValueError(f"grids: {grid_name(grid)} has the times of {fitting} steps; set steps to [{fitting}]")
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
