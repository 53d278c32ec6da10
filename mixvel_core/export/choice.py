"""What is exported of a run: its models and settings, by the name of a row or put together from options."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from mixvel_core.errors import UsageError
from mixvel_core.pipeline.opened import Run
from mixvel_core.pipeline.sample_specs import guidance_of
from mixvel_core.recipe.model import Method, SampleOptions
from mixvel_core.recipe.resolve import load_recipe

MONOLITH = "monolith"
"""The model of a row without a router, and its folder."""


@frozen(kw_only=True)
class ExportChoice:
    """What is exported of a run. ``options``: how it is sampled, with one step count. ``router``: by name; None for the
    monolith. ``row``: the method of the recipe that it is; None: it is none of them. ``with_monolith``: whether it goes
    with the experts, for a guidance compares with it, or they are adapters of it."""

    options: SampleOptions
    router: str | None
    row: str | None
    with_monolith: bool = False


def chosen(
    run: Run, overrides: Sequence[str], *, method: str | None, router: str | None, monolith: bool
) -> ExportChoice:
    """What is exported of ``run``, whose recipe has the ``overrides`` already. Raises UsageError where it is not
    there."""
    options = run.recipe.sample
    row = Method()
    if method is not None:
        if method not in options.methods:
            raise UsageError(f"no method is called {method!r}; the recipe has {', '.join(options.methods)}")
        row = options.methods[method]
        given = {key.split(".")[1] for key in (word.partition("=")[0] for word in overrides) if key.count(".")}
        options = _of_row(options, row, given)
    monolith = monolith or row.model == MONOLITH
    if monolith and router is not None:
        raise UsageError("the monolith is not routed; leave out --router")
    if len(options.steps) != 1:
        raise UsageError("one number of steps is exported, which calls may change; set sample.steps=[20], or --steps")
    name = router or row.router
    # Raises where the run has no such router, or no monolith.
    spec = run.sample_spec(options, router=name, monolith=monolith)
    # Raises where the settings do not fit the schedule or each other.
    _check_grid(run, options)
    row_name = _row_of(run, options, spec.router)
    needed = spec.by_weaker or (not monolith and run.recipe.expert.adapts)
    return ExportChoice(options=options, router=spec.router, row=row_name, with_monolith=needed)


def _row_of(run: Run, options: SampleOptions, router: str | None) -> str | None:
    """The row of the run's table that samples from the same models by the same settings; None where there is none."""
    asked = load_recipe(run.folder / "recipe.yaml")
    for name, row in asked.sample.methods.items():
        its = None if row.model == MONOLITH else row.router or next(iter(asked.routers))
        if its == router and _settings(_of_row(asked.sample, row, set()), its) == _settings(options, router):
            return name
    return None


def _settings(options: SampleOptions, router: str | None) -> list[object]:
    """All that samples depend on but their number, steps and seed; a single expert is neither selected nor weighed."""
    routed = [] if router is None else [options.selector, options.weights]
    guided = [guidance_of(options, monolith=router is None), options.condition]
    return [*routed, *guided, options.integrator, options.grid, options.delta, options.autocast]


def _of_row(options: SampleOptions, row: Method, given: set[str]) -> SampleOptions:
    """The options with the settings of a row, but for those that are ``given``."""
    if row.selector is not None and "selector" not in given:
        options = evolve(options, selector=row.selector)
    if row.integrator is not None and "integrator" not in given:
        options = evolve(options, integrator=row.integrator)
    if row.weights is not None and "weights" not in given:
        options = evolve(options, weights=row.weights)
    if row.grid is not None and "grid" not in given:
        options = evolve(options, grid=row.grid)
    if row.guidance is not None and "guidance" not in given:
        options = evolve(options, guidance=row.guidance)
    return options


def _check_grid(run: Run, options: SampleOptions) -> None:
    from mixvel_core.sampling.grid import time_grid

    time_grid(options.grid, run.recipe.schedule.build(), options.steps[0], options.delta)
