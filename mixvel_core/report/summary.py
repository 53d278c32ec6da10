"""The head of the page, and what it takes to get the same numbers again: seeds, versions, the recipe."""

from __future__ import annotations

import platform
from importlib.metadata import version

from mixvel_core.plugin.discovery import installed
from mixvel_core.recipe.model import Recipe
from mixvel_core.report.figures import amount, brief, learned_from, shape_text
from mixvel_core.report.inputs import Inputs

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
        f"{amount(count)} items ({shape_text(inputs.shards.shape)})."
    )


def facts(inputs: Inputs) -> tuple[tuple[str, str], ...]:
    """What was used for what, in the order of the work."""
    recipe, sample = inputs.recipe, inputs.recipe.sample
    source = inputs.shards.about.get("provenance", {}).get("source")
    routers = "; ".join(
        ", trained on ".join(filter(None, (f"{name}: {brief(use)}", learned_from(use))))
        for name, use in recipe.routers.items()
    )
    return (
        ("data", ", ".join(filter(None, (brief(recipe.data) if recipe.data else REMOTE, source)))),
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


def _listed(values: tuple[int, ...]) -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} and {last}" if most else last


def seeds(recipe: Recipe) -> dict[str, int | list[int]]:
    """Every root of random numbers."""
    return {"recipe": recipe.seed, "sample": list(recipe.sample.seeds), "evaluate": recipe.evaluate.seed}


def versions() -> dict[str, str]:
    """What the report was written with, and every other distribution that brings plugins."""
    plugins = {source.distribution: source.version for source in installed() if source.distribution != "mixvel"}
    return {
        "mixvel": version("mixvel"),
        **plugins,
        "torch": version("torch"),
        "numpy": version("numpy"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
