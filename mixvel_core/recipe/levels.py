"""Levels of noise in a recipe: routers and guidances that leave open where they part have the experts' own times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from attrs import evolve, frozen

from mixvel_core.errors import AbsentError
from mixvel_core.plugin.definition import GuidanceUse, RouterUse
from mixvel_core.recipe.guided import guidances
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.problems import KeyPath, ProblemsFound, RecipeProblem

UseT = TypeVar("UseT", bound=RouterUse | GuidanceUse)


def at_levels(recipe: Recipe) -> Recipe:
    """The recipe with these times, of its own schedule.

    Raises:
        ProblemsFound: times contradict those of the experts, or there are none.
        AbsentError: they are left open, and the experts that have them are not there.
        DataError: what the experts have are no such times.
    """
    uses: list[tuple[KeyPath, RouterUse | GuidanceUse]] = [*_routers(recipe), *guidances(recipe)]
    if all(use.definition.at_levels is None for _, use in uses):
        return recipe
    filled = _Filled.of(recipe)
    problems: list[RecipeProblem] = []
    for path, use in uses:
        try:
            filled.use(use)
        except ValueError as error:
            problems.append(RecipeProblem(path=path, message=f"{use.name}: {error}"))
    if problems:
        raise ProblemsFound(*problems)
    sample, study = recipe.sample, recipe.study
    methods = {name: evolve(m, guidance=m.guidance and filled.use(m.guidance)) for name, m in sample.methods.items()}
    return evolve(
        recipe,
        routers={name: filled.use(use) for name, use in recipe.routers.items()},
        sample=evolve(sample, guidance=sample.guidance and filled.use(sample.guidance), methods=methods),
        study=study and evolve(study, guidance=study.guidance and filled.use(study.guidance)),
    )


def _routers(recipe: Recipe) -> Iterator[tuple[KeyPath, RouterUse]]:
    yield from ((("routers", name), use) for name, use in recipe.routers.items())


@frozen(kw_only=True)
class _Filled:
    """``times``: of the experts; None where they have none. ``absent``: why they could not be read."""

    times: Sequence[float] | None
    absent: AbsentError | None = None

    @classmethod
    def of(cls, recipe: Recipe) -> _Filled:
        """The times of the recipe's experts."""
        try:
            return cls(times=recipe.expert.boundaries(recipe.schedule))
        except AbsentError as error:
            return cls(times=None, absent=error)

    def use(self, use: UseT) -> UseT:
        """``use`` with these times, where it parts by levels. Raises ValueError, or AbsentError where it needs some."""
        fill = use.definition.at_levels
        if fill is None:
            return use
        try:
            return evolve(use, options=fill(use.options, self.times))
        except ValueError:
            if self.absent is not None:
                raise self.absent from None
            raise
