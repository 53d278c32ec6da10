"""The page: its sections in their order, and the templates they are written with."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from mixvel_core.protocols import Progress
from mixvel_core.stages.report.calibration import calibration
from mixvel_core.stages.report.curves import curves
from mixvel_core.stages.report.inputs import Inputs
from mixvel_core.stages.report.origins import origins, recipe
from mixvel_core.stages.report.samples import samples
from mixvel_core.stages.report.scores import scores
from mixvel_core.stages.report.section import MakeSection
from mixvel_core.stages.report.shards import shards
from mixvel_core.stages.report.study import study
from mixvel_core.stages.report.summary import facts, headline
from mixvel_core.stages.report.theory import theory
from mixvel_core.stages.report.timings import timings
from mixvel_core.stages.report.usage import usage
from mixvel_core.stages.report.wording import amount, number, spread

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
        loader=PackageLoader("mixvel_core.stages.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=number, amount=amount, spread=spread)
    return environment
