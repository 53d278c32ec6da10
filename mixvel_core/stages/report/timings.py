"""How long sampling took: the one thing here that is not the same from run to run."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from attrs import frozen

from mixvel_core.stages.report.inputs import Inputs
from mixvel_core.stages.report.section import Section


@frozen(kw_only=True)
class TimingsContent:
    """``rows``: of each method, the mean over seeds of the seconds at each step count."""

    steps: tuple[int, ...]
    rows: tuple[tuple[str, tuple[float, ...]], ...]
    count: int


def timings(inputs: Inputs) -> Section:
    """Seconds of each draw, methods x steps."""
    found = seconds(inputs)
    rows = [
        (
            method,
            tuple(fmean(f["seconds"] for f in found if (f["method"], f["steps"]) == (method, n)) for n in inputs.steps),
        )
        for method in inputs.methods
    ]
    return Section(
        anchor="timings",
        title="Timings",
        stage="sample",
        template="timings.html.jinja",
        content=TimingsContent(steps=inputs.steps, rows=tuple(rows), count=inputs.recipe.sample.count),
    )


def seconds(inputs: Inputs) -> list[dict[str, Any]]:
    """The seconds of every draw."""
    return [
        {"method": s.draw.method, "steps": s.draw.steps, "seed": s.draw.seed, "seconds": s.seconds}
        for s in inputs.samples
    ]
