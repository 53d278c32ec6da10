"""The page: its sections in their order, the templates they are written with, and report.json, the same as numbers."""

from __future__ import annotations

from typing import Any

from attrs import asdict
from jinja2 import Environment, PackageLoader, StrictUndefined

from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import to_plain
from mixvel_core.report.data import facts_of, shards
from mixvel_core.report.figures import amount, learned_from, number, plus_minus
from mixvel_core.report.inputs import Inputs, MakeSection
from mixvel_core.report.routing import calibration, measured, usage
from mixvel_core.report.samples import samples
from mixvel_core.report.scores import score_tables, scores, seconds, timings
from mixvel_core.report.study import study
from mixvel_core.report.summary import facts, headline, origins, recipe, seeds, versions
from mixvel_core.report.theory import theory
from mixvel_core.report.training import curves

SECTIONS: tuple[MakeSection, ...] = (
    scores,
    samples,
    study,
    theory,
    shards,
    curves,
    calibration,
    usage,
    origins,
    recipe,
    timings,
)


def page(inputs: Inputs, progress: Progress) -> str:
    """The whole page, which refers to nothing outside itself."""
    made = []
    with progress.task("report", len(SECTIONS), "sections") as bar:
        for done, make in enumerate(SECTIONS, start=1):
            section = make(inputs)
            if section is not None:
                made.append(section)
            bar.update(done)
    template = _environment().get_template("page.html.jinja")
    return template.render(
        name=inputs.recipe.name,
        smoke=inputs.recipe.smoke,
        headline=headline(inputs),
        facts=facts(inputs),
        sections=made,
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mixvel_core.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=number, amount=amount, spread=plus_minus)
    return environment


def numbers(inputs: Inputs) -> dict[str, Any]:
    """Everything but ``timings`` is the same for the same inputs. ``study`` is there if it was measured."""
    return {
        "smoke": inputs.recipe.smoke,
        "table": _table(inputs),
        "floors": list(inputs.scores.floors),
        "noise": list(inputs.scores.noise),
        "calibration": [asdict(row) for row in measured(inputs).rows],
        "routers": {name: {"learned_from": learned_from(use)} for name, use in inputs.recipe.routers.items()},
        "shards": [
            {
                "index": part.index,
                "count": part.count,
                "fraction": part.fraction,
                **asdict(facts_of(part)),
            }
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
