"""The settings of `mixvel study` and `mixvel theory`: what a recipe leaves open filled in, for one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from attrs import frozen

from mixvel_core.errors import UsageError, did_you_mean
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.opened import Run
from mixvel_core.pipeline.sample_conditions import ConditionChoice, condition_choice
from mixvel_core.plugin.definition import GuidanceUse, IntegratorUse, SelectorUse
from mixvel_core.plugin.discovery import Registry
from mixvel_core.protocols import PretrainedFamily
from mixvel_core.recipe.analysis_options import LikelihoodOptions, StudyOptions, TheoryOptions
from mixvel_core.recipe.describe import label
from mixvel_core.recipe.dump import keyed
from mixvel_core.recipe.grids import Grid
from mixvel_core.sampling.grid import time_grid
from mixvel_core.sampling.inputs import is_random

if TYPE_CHECKING:
    import torch

    from mixvel_core.pipeline.shards import Shards

STUDY_SELECTORS, STUDY_INTEGRATORS = ("mixture", "cached", "sum-up", "iid"), ("ddim", "2m")
THEORY_SELECTORS, THEORY_INTEGRATORS = ("iid", "sum-up", "cached", "switching"), ("euler",)
EXACT_TOLERANCE = 1e-9
"""Of dopri5 where everything is a closed form in float64."""
NETWORK_TOLERANCE = 1e-5
"""Of dopri5 otherwise: ten times the noise of a network that computes in float32."""
EXACT_BLOCK, NETWORK_BLOCK = 128, 32
"""Samples that dopri5 solves together, always whole blocks of the same indices: so a sample's reference does not depend
on how many were asked for, although steps are chosen for all points of a batch. Closed forms cost next to nothing for
more points; networks are paid for the points that fill up the last block."""
EXACT_COUNT, NETWORK_COUNT = 64, 32
"""Trajectories of the theory report."""
BOUNDS = {
    "draw": "W_2 sampling",
    "sum-up": "W_2 sampling, sum-up",
    "switching": "W_2 sampling, switching",
    "mixture": "W_2 sampling, mixture",
}
"""The names in the table of the bounds of what is sampled with Euler, by the assumption that the selector meets."""

NOISE = {BOUNDS["draw"]: "C_sig", BOUNDS["switching"]: "C_sig, switching"}
"""The constants of Lemma 8."""

_BLOCK = 1024


@frozen(kw_only=True)
class Curve:
    """A selector with an integrator on a time grid: one line of the plots, error over step counts."""

    selector: SelectorUse
    integrator: IntegratorUse
    grid: Grid = "uniform"

    @property
    def names(self) -> dict[str, Any]:
        """The names in rows; options that are not defaults set selectors apart."""
        return {"selector": label(self.selector), "integrator": label(self.integrator)}

    @property
    def is_the_papers(self) -> bool:
        """Whether it is what Theorems 2, 6 and 8 are about: one expert drawn at each Euler step."""
        return self.bound == BOUNDS["draw"]

    @property
    def bound(self) -> str | None:
        """The name of its bound in the table, if there is one: bounds are of a selector's own default options."""
        selector, integrator = self.selector.definition, self.integrator.definition.theory
        if selector.theory is None or integrator != "euler" or self.selector.options != selector.options():
            return None
        return BOUNDS.get(selector.theory)

    @property
    def noise(self) -> str | None:
        """The name of the constant that bounds its selection's mean squares, if there is one."""
        return NOISE.get(self.bound) if self.bound else None


@frozen(kw_only=True)
class Settings:
    """Of both. ``steps``: rising. ``router``: its name in the run. ``guidance``, ``condition``: of what is measured."""

    curves: tuple[Curve, ...]
    steps: tuple[int, ...]
    count: int
    seed: int
    delta: float
    router: str
    guidance: GuidanceUse | None = None
    condition: ConditionChoice = None

    @property
    def by_weaker(self) -> bool:
        """Whether the monolith is evaluated beside the experts, to guide by."""
        return self.guidance is not None and self.guidance.by_weaker

    def given(self) -> dict[str, Any]:
        """Condition and guidance as keys and records have them; empty where there are none."""
        found = {} if self.condition is None else {"condition": keyed({"of": self.condition})["of"]}
        return found if self.guidance is None else {**found, "guidance": keyed(self.guidance)}


@frozen(kw_only=True)
class StudySettings(Settings):
    """``fitted``: the step counts that slopes are fitted to. ``block``: samples of the reference solved together.
    ``round_trip``: items encoded and decoded. ``interpolations``: pairs of images. ``items_in_experts``,
    ``items_in_router``: whether they may be closed forms of items, whose sums cannot be differentiated backwards."""

    fitted: tuple[int, ...]
    reference: Literal["dopri5", "ddim-1000"]
    tolerance: float
    precision: Literal["float32", "float64"]
    block: int
    round_trip: int
    interpolations: int
    likelihood: LikelihoodOptions | None
    items_in_experts: bool
    items_in_router: bool

    @property
    def dtype(self) -> torch.dtype:
        """The type of the points, by its name in ``precision``."""
        import torch

        return torch.float64 if self.precision == "float64" else torch.float32


@frozen(kw_only=True)
class TheorySettings(Settings):
    """``radius``: R of the data. ``radius_source``: where it comes from, in words. ``tolerance``: of the exact
    trajectories; None: by the kind of law."""

    radius: float
    radius_source: str
    tolerance: float | None


def study_settings(run: Run, registry: Registry) -> StudySettings:
    """The recipe's ``study`` section with every default filled in. Raises UsageError where there is no such router,
    no such times, or nothing to study."""
    options = run.recipe.study or StudyOptions()
    router = _router(options.router, list(run.models.routers))
    schedule = run.models.schedule.build()
    tasks = run.recipe.routers[router].build().tasks(run.shards.parts, schedule)
    closed = has_closed_experts(run)
    condition = condition_choice(run.recipe.sample.condition, run.models.conditions)
    guidance = options.guidance or run.recipe.sample.guidance
    exact = closed and not tasks
    precision = options.precision if options.precision != "auto" else ("float64" if exact else "float32")
    delta = run.recipe.sample.delta
    if options.reference == "dopri5" and delta == 0.0:
        raise UsageError(
            "sample.delta is 0, where the velocity is infinite; take study.reference=ddim-1000 or a larger delta"
        )
    # Before the first curve is measured: a grid may not have these times on this schedule.
    for grid in options.grids:
        for steps in options.steps:
            time_grid(grid, schedule, steps, delta)
    return StudySettings(
        curves=_curves(options, registry, STUDY_SELECTORS, STUDY_INTEGRATORS, options.grids),
        steps=tuple(sorted(options.steps)),
        fitted=options.fitted,
        count=options.count,
        seed=options.seed,
        delta=delta,
        router=router,
        guidance=guidance if condition is not None else None,
        condition=condition,
        reference=options.reference,
        tolerance=options.tolerance or (EXACT_TOLERANCE if exact and precision == "float64" else NETWORK_TOLERANCE),
        precision=precision,
        block=EXACT_BLOCK if exact else NETWORK_BLOCK,
        round_trip=options.round_trip,
        interpolations=options.interpolations,
        likelihood=options.likelihood,
        items_in_experts=closed and not run.recipe.expert.definition.exact_for_laws,
        items_in_router=not tasks and any(part.law is None for part in run.shards.parts),
    )


def theory_settings(run: Run, registry: Registry) -> TheorySettings:
    """The recipe's ``theory`` section with every default filled in. Raises UsageError where there is no such router,
    delta is 0, or the data have no radius."""
    options = run.recipe.theory or TheoryOptions()
    if run.recipe.sample.guidance is not None:
        name = run.recipe.sample.guidance.name
        raise UsageError(
            f"sample.guidance is {name}: the bounds hold for a mixture's own flow, and guided samples follow another; "
            "sample.guidance=null measures the mixture without a condition"
        )
    delta = run.recipe.sample.delta
    if not 0.0 < delta < 1.0:
        raise UsageError(
            f"sample.delta is {delta:g}: the bounds are infinite there; take one above 0 and below 1, sample.delta=0.01"
        )
    return TheorySettings(
        curves=_curves(options, registry, THEORY_SELECTORS, THEORY_INTEGRATORS),
        steps=tuple(sorted(set(options.steps))),
        router=_router(options.router, list(run.models.routers)),
        count=options.count or (EXACT_COUNT if has_closed_experts(run) else NETWORK_COUNT),
        seed=options.seed,
        delta=delta,
        radius=options.radius if options.radius is not None else largest_norm(run.shards),
        radius_source="the longest item of the data set" if options.radius is None else "the recipe's theory.radius",
        tolerance=options.tolerance,
    )


def has_closed_experts(run: Run) -> bool:
    """Whether the experts are closed forms: neither trained here nor networks that were trained elsewhere."""
    family, schedule = run.recipe.expert.build(), run.models.schedule.build()
    if isinstance(family, PretrainedFamily) and family.is_network():
        return False
    return all(family.task(part, schedule) is None for part in run.shards.parts)


def largest_norm(shards: Shards) -> float:
    """R of Assumption 2: the largest norm among the items, read a block at a time. Raises UsageError where it is 0."""
    largest = 0.0
    for part in shards.parts:
        items = part.items
        for first in range(0, len(items), _BLOCK):
            block = to_float(np.asarray(items[first : first + _BLOCK])).reshape(-1, int(np.prod(shards.shape)))
            # numpy's maximum of a number and a NaN is the NaN.
            largest = float(np.maximum(largest, np.linalg.norm(block.astype(np.float64), axis=1).max()))
    if not (np.isfinite(largest) and largest > 0):
        raise UsageError(
            f"the data have no radius R above 0 (their longest item measures {largest:g}); give one as theory.radius=R"
        )
    return largest


def _router(wanted: str | None, names: list[str]) -> str:
    if not names:
        raise UsageError("the recipe has no routers, and routed sampling is what is measured; add one under `routers`")
    if wanted is not None and wanted not in names:
        hint = did_you_mean(wanted, names)
        raise UsageError(f"no router is called {wanted!r}{hint}  (routers: {', '.join(names)})")
    return wanted or names[0]


def _curves(
    options: StudyOptions | TheoryOptions,
    registry: Registry,
    selectors: Sequence[str],
    integrators: Sequence[str],
    grids: Sequence[Grid] = ("uniform",),
) -> tuple[Curve, ...]:
    """Of the options' own selectors and integrators, or of those with these names that are installed. Raises UsageError
    where one of them follows an SDE."""
    for use in options.integrators or ():
        if is_random(use.build()):
            raise UsageError(
                f"integrator {label(use)} follows an SDE, whose samples end elsewhere than the ODE they are compared "
                "with; leave it out, or set its eta to 0"
            )
    own = [registry.get("selector", name) for name in selectors if name in registry.names("selector")]
    steps = [registry.get("integrator", name) for name in integrators if name in registry.names("integrator")]
    return tuple(
        Curve(selector=selector, integrator=integrator, grid=grid)
        for selector in options.selectors or [SelectorUse(definition=d, options=d.options()) for d in own]
        for integrator in options.integrators or [IntegratorUse(definition=d, options=d.options()) for d in steps]
        for grid in grids
    )
