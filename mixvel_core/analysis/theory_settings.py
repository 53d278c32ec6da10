"""Setting: what is measured, with everything that the recipe leaves open filled in, for one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from mixvel_core.errors import UsageError, did_you_mean
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.opened import Run
from mixvel_core.plugin.definition import IntegratorUse, SelectorUse
from mixvel_core.plugin.discovery import Registry
from mixvel_core.recipe.describe import label
from mixvel_core.recipe.model import TheoryOptions

if TYPE_CHECKING:
    from mixvel_core.pipeline.shards import Shards

USUAL_SELECTORS = ("iid", "sum-up", "cached")
USUAL_INTEGRATORS = ("euler",)
CLOSED_COUNT, NETWORK_COUNT = 64, 32
CLOSED_TOLERANCE, EMPIRICAL_TOLERANCE = 1e-7, 1e-6

BOUNDS = {"iid": "W_2 sampling", "sum-up": "W_2 sampling, sum-up", "mixture": "W_2 sampling, mixture"}
"""Of what is sampled with Euler."""

_BLOCK = 1024


@frozen(kw_only=True)
class Pair:
    """A selector with an integrator."""

    selector: SelectorUse
    integrator: IntegratorUse

    @property
    def names(self) -> dict[str, str]:
        """How rows call it."""
        return {"selector": label(self.selector), "integrator": label(self.integrator)}

    @property
    def is_the_paper_s(self) -> bool:
        """Whether it is what Theorems 2, 6 and 8 are about."""
        return self.selector.name == "iid" and self.integrator.name == "euler"

    @property
    def bound(self) -> str | None:
        """The name of its bound in the table, if there is one."""
        return BOUNDS.get(self.selector.name) if self.integrator.name == "euler" else None


@frozen(kw_only=True)
class TheorySettings:
    """``steps``: rising. ``R``: radius of the data. ``where_r``: how it is known. ``router``: its name in the run."""

    pairs: tuple[Pair, ...]
    steps: tuple[int, ...]
    count: int
    seed: int
    delta: float
    R: float
    where_r: str
    tolerance: float | None
    router: str


def theory_settings(finished: Run, registry: Registry) -> TheorySettings:
    """What the recipe of a run asks for; the usual where it does not say.

    Raises:
        UsageError: no such router, delta is 0, or the data have no radius.
    """
    options = finished.recipe.theory or TheoryOptions()
    delta = finished.recipe.sample.delta
    if not 0.0 < delta < 1.0:
        raise UsageError(
            f"sample.delta is {delta:g}: the bounds are infinite there; take one above 0 and below 1, sample.delta=0.01"
        )
    there = list(finished.models.routers)
    if not there:
        raise UsageError("the recipe has no routers, and the theory is of routed sampling; add one under `routers`")
    if options.router is not None and options.router not in there:
        hint = did_you_mean(options.router, there)
        raise UsageError(f"no router is called {options.router!r}{hint}  (routers: {', '.join(there)})")
    return TheorySettings(
        pairs=tuple(
            Pair(selector=selector, integrator=integrator)
            for selector in options.selectors or _usual_selectors(registry)
            for integrator in options.integrators or _usual_integrators(registry)
        ),
        steps=tuple(sorted(set(options.steps))),
        count=options.count or (CLOSED_COUNT if is_closed(finished) else NETWORK_COUNT),
        seed=options.seed,
        delta=delta,
        R=options.radius if options.radius is not None else radius(finished.shards),
        where_r="the recipe's theory.radius" if options.radius is not None else "the longest item of the data set",
        tolerance=options.tolerance,
        router=options.router or there[0],
    )


def is_closed(finished: Run) -> bool:
    """Whether the experts are closed forms, which cost next to nothing."""
    family, schedule = finished.recipe.expert.build(), finished.models.schedule.build()
    return all(family.task(part, schedule) is None for part in finished.shards.parts)


def radius(shards: Shards) -> float:
    """R of Assumption 2: the largest norm among the items, read a block at a time. Raises UsageError where none is."""
    import numpy as np

    largest = 0.0
    for part in shards.parts:
        items = part.items
        for first in range(0, len(items), _BLOCK):
            block = to_float(np.asarray(items[first : first + _BLOCK])).reshape(-1, int(np.prod(shards.shape)))
            # Of the maximum numpy hands a NaN on.
            largest = float(np.maximum(largest, np.linalg.norm(block.astype(np.float64), axis=1).max()))
    if not (np.isfinite(largest) and largest > 0):
        raise UsageError(
            f"the data have no radius R above 0 (their longest item measures {largest:g}); give one as theory.radius=R"
        )
    return largest


def _usual_selectors(registry: Registry) -> list[SelectorUse]:
    found = [registry.get("selector", name) for name in USUAL_SELECTORS if name in registry.names("selector")]
    return [SelectorUse(definition=d, options=d.options()) for d in found]


def _usual_integrators(registry: Registry) -> list[IntegratorUse]:
    found = [registry.get("integrator", name) for name in USUAL_INTEGRATORS if name in registry.names("integrator")]
    return [IntegratorUse(definition=d, options=d.options()) for d in found]
