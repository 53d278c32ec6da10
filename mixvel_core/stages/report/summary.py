"""The head of the page: one line that says what was run, and what stands in each slot of the recipe."""

from __future__ import annotations

from mixvel_core.recipe.use import RouterUse
from mixvel_core.stages.report.inputs import Inputs
from mixvel_core.stages.report.wording import amount, brief, learned_from, shape_text
from mixvel_core.training.shared import is_shared

AWAY = "with their owners; what they share of them is here"


def headline(inputs: Inputs) -> str:
    """The run in a sentence."""
    count = sum(part.count for part in inputs.shards.parts)
    experts, methods = len(inputs.shards.parts), len(inputs.methods)
    saw = "each saw only their own shard of"
    if is_shared(inputs.recipe.expert.options):
        saw = "are one network with as many labels, which saw all of"
    return (
        f"{methods} {'method' if methods == 1 else 'methods'} at {_listed(inputs.steps)} steps, from "
        f"{experts} {'expert' if experts == 1 else 'experts'} that {saw} "
        f"{amount(count)} items ({shape_text(inputs.shards.shape)})."
    )


def facts(inputs: Inputs) -> tuple[tuple[str, str], ...]:
    """What was used for what, in the order of the work."""
    recipe, sample = inputs.recipe, inputs.recipe.sample
    source = inputs.shards.about.get("provenance", {}).get("source")
    routers = "; ".join(f"{name}: {brief(use)}{_learned_from(use)}" for name, use in recipe.routers.items())
    return (
        ("data", ", ".join(filter(None, (brief(recipe.data) if recipe.data else AWAY, source)))),
        (
            "partition",
            f"{brief(recipe.partition) if recipe.partition else 'as owned'}, {len(inputs.shards.parts)} shards",
        ),
        ("schedule", brief(recipe.schedule)),
        ("experts", brief(recipe.expert)),
        ("monolith", brief(recipe.monolith) if recipe.monolith else "none"),
        ("routers", routers or "none"),
        (
            "sample",
            f"{amount(sample.count)} of each method, step count and seed; {sample.grid} steps to t = {sample.delta:g}",
        ),
        ("evaluate", ", ".join(brief(use) for use in recipe.evaluate.metrics)),
    )


def _learned_from(use: RouterUse) -> str:
    """Behind the name of a router that is trained: on what."""
    where = learned_from(use)
    return f", trained on {where}" if where else ""


def _listed(values: tuple[int, ...]) -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} and {last}" if most else last
