"""Whether the conditions and guidances of a recipe fit its data and its models, as far as that is known before them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixvel_core.data.conditions import conditions_of
from mixvel_core.errors import RecipeError, UsageError
from mixvel_core.pipeline.experts import conditions_read
from mixvel_core.pipeline.sample_conditions import FROM_DATA, condition_choice
from mixvel_core.pipeline.shards import are_local
from mixvel_core.protocols import CLASS, ConditionSpec, Shard
from mixvel_core.recipe.guided import guidances
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.problems import dotted


def check_conditions(recipe: Recipe, parts: Sequence[Shard], *, methods: bool = True) -> None:
    """Raises RecipeError where samples are asked for conditions that the items have not, or are guided by models that
    read none; a line for each place.

    Args:
        recipe: what is asked.
        parts: the shards.
        methods: whether the table's own rows are to be sampled.
    """
    problems = list(_problems(recipe, parts, conditions_of(parts[0])))
    if methods and recipe.sample.condition is None:
        problems += [
            f"sample.methods.{name}.guidance  leads to a condition, and `sample.condition` is null; remove one of both"
            for name, method in recipe.sample.methods.items()
            if method.guidance is not None and method.guidance.definition.leads
        ]
    if problems:
        raise RecipeError(*problems)


def _problems(recipe: Recipe, parts: Sequence[Shard], specs: Sequence[ConditionSpec]) -> Iterator[str]:
    try:
        wanted = condition_choice(recipe.sample.condition, specs)
    except UsageError as error:
        yield f"sample.condition  {error}"
        return
    if not specs and recipe.sample.condition not in ("auto", None):
        yield "sample.condition  is given, and the items have no conditions; remove it"
    if wanted == FROM_DATA and not are_local(parts):
        known = [spec.name for spec in specs] == [CLASS]
        way = "balanced or classes" if known else "null, and give them with `mixvel sample RUN --condition FILE.npz`"
        yield f"sample.condition  from-data: items and their conditions are not here; take {way}"
    guided = [(dotted(path), use) for path, use in guidances(recipe)]
    monolith = recipe.monolith
    # Adapters read what their base reads.
    network = monolith if recipe.expert.adapts and monolith is not None else recipe.expert
    if guided and not specs:
        yield f"{guided[0][0]}  leads to a condition, and the items have none"
    elif guided and not conditions_read(network.build(), specs):
        yield f"{guided[0][0]}  the experts, {recipe.expert.name}, read no condition that it could lead to; remove it"
    alone = [
        f"sample.methods.{name}.guidance"
        for name, method in recipe.sample.methods.items()
        if method.model == "monolith" and method.guidance is not None and method.guidance.definition.leads
    ]
    if specs and alone and monolith is not None and not conditions_read(monolith.build(), specs):
        yield f"{alone[0]}  the monolith, {monolith.name}, reads no condition that it could lead to; remove it"
    by_weaker = [place for place, use in guided if use.by_weaker]
    if specs and by_weaker and monolith is not None and not conditions_read(monolith.build(), specs):
        yield f"{by_weaker[0]}  the monolith, {monolith.name}, reads no condition; take guidance cfg"
