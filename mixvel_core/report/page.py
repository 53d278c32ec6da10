"""The page: its sections in their order, the templates they are written with, and report.json, the same as numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import asdict, frozen
from jinja2 import Environment, PackageLoader, StrictUndefined

from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import dump, to_plain
from mixvel_core.report.data import facts_of, shards
from mixvel_core.report.figures import amount, learned_from, number, plus_minus
from mixvel_core.report.inputs import Inputs
from mixvel_core.report.routing import calibration, measured, usage
from mixvel_core.report.samples import samples
from mixvel_core.report.scores import score_tables, scores, seconds, timings
from mixvel_core.report.study import study
from mixvel_core.report.summary import facts, headline, seeds, versions
from mixvel_core.report.theory import theory
from mixvel_core.report.training import curves
from mixvel_core.theory.bound import power_of_ten


@frozen(kw_only=True)
class Section:
    """``anchor``: its id in the page, and the name of its template. ``stage``: whose results it shows, as the command
    line calls it. ``make``: what its template shows beside the inputs, all of it text to be escaped: names come from
    recipes, provenance from data; None where the run has nothing for the section.
    """

    anchor: str
    title: str
    stage: str
    make: Callable[[Inputs], object | None]


SECTIONS = (
    Section(anchor="scores", title="Scores", stage="evaluate", make=scores),
    Section(anchor="samples", title="Samples", stage="sample", make=samples),
    Section(anchor="study", title="Study", stage="study", make=study),
    Section(anchor="theory", title="Theory", stage="theory", make=theory),
    Section(anchor="shards", title="Shards", stage="partition", make=shards),
    Section(anchor="losses", title="Losses", stage="experts, monolith, routers", make=curves),
    Section(anchor="calibration", title="Calibration of the routers", stage="routers", make=calibration),
    Section(anchor="usage", title="Expert usage", stage="selector", make=usage),
    Section(anchor="origins", title="Seeds and versions", stage="report", make=lambda inputs: versions()),
    Section(anchor="recipe", title="Recipe", stage="recipe", make=lambda inputs: dump(inputs.recipe)),
    Section(anchor="timings", title="Timings", stage="sample", make=timings),
)


def page(inputs: Inputs, progress: Progress) -> str:
    """The whole page, which refers to nothing outside itself."""
    made = []
    with progress.task("report", len(SECTIONS), "sections") as bar:
        for done, section in enumerate(SECTIONS, start=1):
            content = section.make(inputs)
            if content is not None:
                made.append((section, content))
            bar.update(done)
    environment = Environment(
        loader=PackageLoader("mixvel_core.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=number, amount=amount, spread=plus_minus, power_of_ten=power_of_ten)
    template = environment.get_template("page.html.jinja")
    return template.render(inputs=inputs, headline=headline(inputs), facts=facts(inputs), sections=made)


def numbers(inputs: Inputs) -> dict[str, Any]:
    """Everything but ``timings`` is the same for the same inputs. ``study`` is there if it was measured."""
    return {
        "smoke": inputs.recipe.smoke,
        "table": _table(inputs),
        "floors": list(inputs.scores.floors),
        "noise": list(inputs.scores.noise),
        "calibration": [asdict(row) for row in measured(inputs)],
        "routers": {name: {"learned_from": learned_from(use)} for name, use in inputs.recipe.routers.items()},
        "shards": [
            {"index": part.index, "count": part.count, "fraction": part.fraction, **asdict(facts_of(part))}
            for part in inputs.shards.parts
        ],
        "seeds": seeds(inputs.recipe),
        "versions": versions(),
        "recipe": to_plain(inputs.recipe),
        "timings": seconds(inputs),
        **({"study": asdict(inputs.study)} if inputs.study else {}),
    }


def _table(inputs: Inputs) -> list[dict[str, Any]]:
    """A row for each cell of the tables: the mean over seeds, its spread, and the value of each seed."""
    return [
        {
            "metric": table.metric,
            "conditions": dict(table.conditions),
            "method": row.method,
            "steps": steps,
            "mean": cell.mean,
            "spread": cell.spread,
            "seeds": list(cell.values),
            "values": list(cell.values.values()),
            "evaluations": cell.evaluations,
            "best": cell.best,
        }
        for table in score_tables(inputs.scores, inputs.methods, inputs.steps)
        for row in table.rows
        for steps, cell in zip(table.steps, row.cells, strict=True)
        if cell is not None
    ]
