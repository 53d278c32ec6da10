"""Setting: a study with everything that its recipe leaves open filled in, for one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import frozen

from mixvel_core.errors import UsageError, did_you_mean
from mixvel_core.pipeline.opened import Run
from mixvel_core.plugin.definition import IntegratorUse, SelectorUse
from mixvel_core.plugin.discovery import Registry
from mixvel_core.protocols import PretrainedFamily
from mixvel_core.recipe.describe import label
from mixvel_core.recipe.model import StudyOptions
from mixvel_core.sampling.grid import Grid

if TYPE_CHECKING:
    import torch

USUAL_SELECTORS = ("mixture", "cached", "sum-up", "iid")
USUAL_INTEGRATORS = ("ddim", "2m")
EXACT_TOLERANCE = 1e-9
"""Of dopri5 where everything is a closed form in float64."""
NETWORK_TOLERANCE = 1e-5
"""Of dopri5 otherwise: ten times the noise of a network that computes in float32."""

EXACT_BLOCK, NETWORK_BLOCK = 128, 32
"""Samples that dopri5 solves together, always whole blocks of the same indices: so a sample's reference does not depend
on how many were asked for, although steps are chosen for all points of a batch. Closed forms cost next to nothing for
more points; networks are paid for the points that fill up the last block."""


@frozen(kw_only=True)
class StudyCurve:
    """One line of the plots: error over step counts."""

    selector: SelectorUse
    integrator: IntegratorUse
    grid: Grid

    @property
    def names(self) -> dict[str, str]:
        """How rows and slopes call it; options that are not defaults tell selectors apart."""
        return {"selector": label(self.selector), "integrator": label(self.integrator), "grid": self.grid}


@frozen(kw_only=True)
class StudySettings:
    """``steps``: rising. ``fitted``: the step counts that slopes are fitted to. ``router``: its name in the run.
    ``block``: samples of the reference solved together."""

    curves: tuple[StudyCurve, ...]
    steps: tuple[int, ...]
    fitted: tuple[int, ...]
    count: int
    seed: int
    delta: float
    router: str
    reference: Literal["dopri5", "ddim-1000"]
    tolerance: float
    precision: Literal["float32", "float64"]
    block: int

    @property
    def dtype(self) -> torch.dtype:
        """Of the points."""
        import torch

        return torch.float64 if self.precision == "float64" else torch.float32


def study_settings(finished: Run, registry: Registry) -> StudySettings:
    """What the recipe of a run asks for; the usual where it does not say.

    Raises:
        UsageError: no such router, or nothing to study.
    """
    options = finished.recipe.study or StudyOptions()
    router = _router(options.router, list(finished.models.routers))
    exact = _in_closed_form(finished, router)
    precision = options.precision if options.precision != "auto" else ("float64" if exact else "float32")
    delta = finished.recipe.sample.delta
    if options.reference == "dopri5" and delta == 0.0:
        raise UsageError(
            "sample.delta is 0, where the velocity is infinite; take study.reference=ddim-1000 or a larger delta"
        )
    default = EXACT_TOLERANCE if exact and precision == "float64" else NETWORK_TOLERANCE
    return StudySettings(
        curves=tuple(
            StudyCurve(selector=selector, integrator=integrator, grid=grid)
            for selector in options.selectors or _usual_selectors(registry)
            for integrator in options.integrators or _usual_integrators(registry)
            for grid in options.grids
        ),
        steps=tuple(sorted(options.steps)),
        fitted=options.fitted,
        count=options.count,
        seed=options.seed,
        delta=delta,
        router=router,
        reference=options.reference,
        tolerance=options.tolerance or default,
        precision=precision,
        block=EXACT_BLOCK if exact else NETWORK_BLOCK,
    )


def _router(wanted: str | None, there: list[str]) -> str:
    if not there:
        raise UsageError("the recipe has no routers, and a study is of routed sampling; add one under `routers`")
    if wanted is not None and wanted not in there:
        raise UsageError(f"no router is called {wanted!r}{did_you_mean(wanted, there)}  (routers: {', '.join(there)})")
    return wanted or there[0]


def _in_closed_form(finished: Run, router: str) -> bool:
    """Whether no network is asked on the way: neither experts nor router have anything to train."""
    schedule, parts = finished.models.schedule.build(), finished.shards.parts
    if finished.recipe.routers[router].build().tasks(parts, schedule):
        return False
    family = finished.recipe.expert.build()
    if isinstance(family, PretrainedFamily) and family.is_network():
        return False
    return all(family.task(part, schedule) is None for part in parts)


def _usual_selectors(registry: Registry) -> list[SelectorUse]:
    found = [registry.get("selector", name) for name in USUAL_SELECTORS if name in registry.names("selector")]
    return [SelectorUse(definition=d, options=d.options()) for d in found]


def _usual_integrators(registry: Registry) -> list[IntegratorUse]:
    found = [registry.get("integrator", name) for name in USUAL_INTEGRATORS if name in registry.names("integrator")]
    return [IntegratorUse(definition=d, options=d.options()) for d in found]
