"""The page: its sections in their order, the templates they are written with, and report.json, the same as numbers."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

from attrs import asdict, frozen
from jinja2 import Environment, PackageLoader, StrictUndefined

from mixvel_core.cost.quantities import amount as quantity
from mixvel_core.cost.quantities import duration
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import dump, to_plain, uses_in
from mixvel_core.recipe.grids import grid_name
from mixvel_core.recipe.model import Recipe
from mixvel_core.report.answer import sentence, verdicts
from mixvel_core.report.conditions import conditions
from mixvel_core.report.data import facts_of, shards
from mixvel_core.report.diagnostics import diagnostics
from mixvel_core.report.figures import amount, brief, learned_from, number, plus_minus, shape_text
from mixvel_core.report.inputs import Inputs
from mixvel_core.report.routing import calibration, usage
from mixvel_core.report.samples import samples
from mixvel_core.report.scores import scores, times_of_draws, timings
from mixvel_core.report.study import study
from mixvel_core.report.tables import score_tables
from mixvel_core.report.theory import theory
from mixvel_core.report.training import curves
from mixvel_core.report.trainings import trainings
from mixvel_core.theory.bound import power_of_ten

REMOTE = "with their owners; what they share of them is here"


def headline(inputs: Inputs) -> str:
    """The run in a sentence."""
    count = sum(part.count for part in inputs.shards.parts)
    experts, methods = len(inputs.shards.parts), len(inputs.methods)
    saw = "each saw only their own shard of"
    if inputs.recipe.expert.is_shared:
        saw = "are one network with as many labels, which saw all of"
    return (
        f"{methods} {'method' if methods == 1 else 'methods'} at {_listed(inputs.steps)} steps, from "
        f"{experts} {'expert' if experts == 1 else 'experts'} that {saw} "
        f"{amount(count)} items ({_shapes(inputs)})."
    )


def _shapes(inputs: Inputs) -> str:
    if inputs.shards.codec is None:
        return shape_text(inputs.shards.shape)
    return f"{shape_text(inputs.shards.data_shape)}; latents of {shape_text(inputs.shards.shape)}"


def facts(inputs: Inputs) -> tuple[tuple[str, str], ...]:
    """What was used for what, in the order of the work."""
    recipe, sample = inputs.recipe, inputs.recipe.sample
    asked = "" if (inputs.methods, inputs.steps) == (tuple(sample.methods), sample.steps) else "asked last: "
    source = inputs.shards.about.get("provenance", {}).get("source")
    routers = "; ".join(
        ", trained on ".join(filter(None, (f"{name}: {brief(use)}", learned_from(use))))
        for name, use in recipe.routers.items()
    )
    return (
        ("data", ", ".join(filter(None, (brief(recipe.data) if recipe.data else REMOTE, source)))),
        *([("codec", inputs.shards.codec.label)] if inputs.shards.codec else []),
        (
            "partition",
            f"{brief(recipe.partition) if recipe.partition else 'as owned'}, {len(inputs.shards.parts)} shards",
        ),
        *(
            [("condition", ", ".join(f"{n}: {source}" for n, source in recipe.condition.items()))]
            if recipe.condition
            else []
        ),
        ("schedule", brief(recipe.schedule)),
        ("experts", brief(recipe.expert)),
        ("monolith", brief(recipe.monolith) if recipe.monolith else "none"),
        ("routers", routers or "none"),
        ("training", "; ".join(one.words() for one in trainings(inputs)) or "none here"),
        (
            "sample",
            f"{asked}{amount(sample.count)} of each method, step count and seed; {grid_name(sample.grid)} steps to "
            f"t = {sample.delta:g}",
        ),
        ("evaluate", ", ".join(brief(use) for use in recipe.evaluate.metrics)),
    )


def _listed(values: tuple[int, ...]) -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} and {last}" if most else last


def versions(recipe: Recipe) -> dict[str, str]:
    """What the report was written with, and the other distributions whose plugins the recipe uses."""
    used = {id(use.definition) for use in uses_in(recipe)}
    plugins = {
        entry.distribution: entry.version
        for entry in load_registry().entries()
        if entry.distribution != "mixvel" and id(entry.definition) in used
    }
    return {
        "mixvel": version("mixvel"),
        **plugins,
        "torch": version("torch"),
        "numpy": version("numpy"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


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
    Section(anchor="conditions", title="Classes and guidance", stage="sample", make=conditions),
    Section(anchor="study", title="Study", stage="study", make=study),
    Section(anchor="theory", title="Theory", stage="theory", make=theory),
    Section(anchor="shards", title="Shards", stage="partition", make=shards),
    Section(anchor="losses", title="Losses", stage="experts, monolith, routers", make=curves),
    Section(anchor="calibration", title="Calibration of the routers", stage="routers", make=calibration),
    Section(anchor="diagnostics", title="Disagreement and alignment", stage="experts, routers", make=diagnostics),
    Section(anchor="usage", title="Expert usage", stage="selector", make=usage),
    Section(anchor="origins", title="Seeds and versions", stage="report", make=lambda inputs: versions(inputs.recipe)),
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
    environment.filters.update(
        number=number,
        amount=amount,
        spread=plus_minus,
        power_of_ten=power_of_ten,
        duration=duration,
        flops=partial(quantity, unit="FLOP"),
    )
    template = environment.get_template("page.html.jinja")
    found = verdicts(score_tables(inputs.scores, inputs.methods, inputs.steps), unrouted(inputs))
    return template.render(
        inputs=inputs,
        headline=headline(inputs),
        facts=facts(inputs),
        sections=made,
        verdicts=found,
        sentence=sentence(found),
    )


def unrouted(inputs: Inputs) -> set[str]:
    """The methods that sample one network, which no router weighs."""
    return {one.row for one in inputs.samples if one.draw.router is None}


def numbers(inputs: Inputs) -> dict[str, Any]:
    """Everything but ``timings`` is the same for the same inputs. ``study`` is there if it was measured."""
    recipe = inputs.recipe
    return {
        "smoke": recipe.smoke,
        "answer": [
            asdict(one) for one in verdicts(score_tables(inputs.scores, inputs.methods, inputs.steps), unrouted(inputs))
        ],
        "table": _table(inputs),
        "floors": list(inputs.scores.floors),
        "noise": list(inputs.scores.noise),
        "calibration": [asdict(row) for row in inputs.calibration],
        **({"diagnostics": asdict(inputs.diagnostics)} if inputs.diagnostics else {}),
        "flops": inputs.flops.counts(),
        "routers": {name: {"learned_from": learned_from(use)} for name, use in recipe.routers.items()},
        "shards": [
            {"index": part.index, "count": part.count, "fraction": part.fraction, **asdict(facts_of(part))}
            for part in inputs.shards.parts
        ],
        "seeds": {"recipe": recipe.seed, "sample": list(recipe.sample.seeds), "evaluate": recipe.evaluate.seed},
        "versions": versions(recipe),
        "recipe": to_plain(recipe),
        "timings": times_of_draws(inputs),
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
            "flops": cell.flops,
            "best": cell.best,
        }
        for table in score_tables(inputs.scores, inputs.methods, inputs.steps)
        for row in table.rows
        for steps, cell in zip(table.steps, row.cells, strict=True)
        if cell is not None
    ]
