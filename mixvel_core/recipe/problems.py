"""Problems: what is wrong with a recipe, where, in one line each; and what one section contradicts in another.

These look at plain data and pass over whatever does not have its expected form, so that their problems come
together with those of the typed check.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import evolve, frozen

from mixvel_core.errors import PluginError, RecipeError, did_you_mean
from mixvel_core.recipe.grids import DELTA

if TYPE_CHECKING:
    from mixvel_core.recipe.model import Recipe

KeyPath: TypeAlias = tuple[str | int, ...]
"""The way to a value from the root of a recipe: keys of mappings and indices of lists."""

_LONGEST_KEY = 60
_LONGEST_MESSAGE = 500
MOST_SHOWN = 100
"""Problems of a recipe that are printed one by one."""


class MissingPluginError(RecipeError, PluginError):
    """A recipe that is right in itself but names plugins that cannot be had."""

    exit_code = 3


@frozen(kw_only=True)
class SourcePlace:
    """Where something was written: line ``line`` of a file, or (None) an override. ``order`` sorts sources."""

    source: str
    line: int | None = None
    order: int = 0

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@frozen(kw_only=True)
class RecipeProblem:
    """One thing wrong at ``path``.

    ``plugin``: a plugin is missing or broken, the recipe may be right. ``place``: where to look, if that is
    not where the value at ``path`` stands.
    """

    path: KeyPath
    message: str
    plugin: bool = False
    place: SourcePlace | None = None

    def below(self, *keys: str | int) -> RecipeProblem:
        """The same problem, seen from further up."""
        return evolve(self, path=(*keys, *self.path))


class ProblemsFound(Exception):  # noqa: N818 - carries problems on their way up, and ends in a RecipeError
    """Raised inside this package by whatever finds problems; ``report`` makes the error that leaves it."""

    def __init__(self, *problems: RecipeProblem) -> None:
        super().__init__(*problems)
        self.problems = problems


@frozen(kw_only=True)
class Tree:
    """Plain data (dict, list, str, int, float, bool, None) and where each part of it was written.

    ``problems``: what was found while it was read. ``readable``: False if there was no reading it at all.
    """

    value: Any
    places: Mapping[KeyPath, SourcePlace]
    problems: tuple[RecipeProblem, ...] = ()
    readable: bool = True

    def place(self, path: KeyPath) -> SourcePlace:
        """Where ``path`` stands, or else the nearest part around it that was written."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]


def report(tree: Tree, problems: Iterable[RecipeProblem]) -> RecipeError:
    """One error for all problems, in the order in which a reader meets them in the file."""
    distinct = list(dict.fromkeys(problems))
    located = [(problem.place or tree.place(problem.path), problem) for problem in distinct]
    located.sort(key=lambda pair: (pair[0].order, pair[0].line or 0))
    lines = []
    for place, problem in located[:MOST_SHOWN]:
        message = shortened(one_line(problem.message), _LONGEST_MESSAGE)
        lines.append("  ".join(filter(None, (one_line(str(place)), dotted(problem.path), message))))
    if len(located) > MOST_SHOWN:
        lines.append(f"{len(located) - MOST_SHOWN} more problems are not shown")
    missing = distinct and all(problem.plugin for problem in distinct)
    return MissingPluginError(*lines) if missing else RecipeError(*lines)


def dotted(path: KeyPath) -> str:
    """The path as an override would write it."""
    return ".".join(shortened(one_line(str(key)), _LONGEST_KEY) for key in path)


def one_line(text: str) -> str:
    """``text`` with everything that would break or hide a line written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, longest: int = 60) -> str:
    """``text``, cut to ``longest`` characters."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of equally many cells as lines, each column as wide as its widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


_LONGEST_NAME = 80


def cross_problems(value: Any) -> list[RecipeProblem]:
    """Every contradiction between the parts of a recipe, given as plain data."""
    found = _contradictions(value if isinstance(value, dict) else {})
    return [RecipeProblem(path=path, message=message) for path, message in found]


def _contradictions(recipe: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    routers, methods = _section(recipe, "routers"), _section(recipe, "sample", "methods")
    yield from _names(recipe.get("name"), routers or {}, methods or {})
    sample = _section(recipe, "sample") or {}
    yield from _doubles(sample)
    delta = sample.get("delta", DELTA)
    if sample.get("grid") == "native" and delta != 0:
        yield ("sample", "delta"), "the steps of grid `native` end where the schedule's own do; write `delta: 0`"
    yield from _times(("sample", "grid"), sample.get("grid"), sample.get("steps"), delta)
    if methods == {}:
        yield ("sample", "methods"), "is empty; name at least one method"
    for name, method in (methods or {}).items():
        path = ("sample", "methods", name)
        if isinstance(method, dict) and method.get("grid") == "native" and delta != 0:
            yield (*path, "grid"), "the steps of `native` end where the schedule's own do; write `sample.delta: 0`"
        if isinstance(method, dict):
            yield from _times((*path, "grid"), method.get("grid"), sample.get("steps"), delta)
        if isinstance(method, dict) and method.get("model") == "monolith":
            if recipe.get("monolith") is None:
                yield (*path, "model"), "the recipe has no section `monolith` to make it"
            for key in ("router", "selector"):
                if method.get(key) is not None:
                    yield (*path, key), "has no effect: the monolith is not routed; remove it"
        elif isinstance(method, dict):
            yield from _routed(path, method, routers)
    yield from _without_data(recipe)
    study = _section(recipe, "study")
    if study is not None:
        yield from _routed(("study",), study, routers)
        grids = study.get("grids")
        for index, grid in enumerate(grids if isinstance(grids, list) else ()):
            yield from _times(("study", "grids", index), grid, None, delta)


def _times(path: KeyPath, grid: Any, steps: Any, delta: Any) -> Iterator[tuple[KeyPath, str]]:
    """A list of times has its own number of steps and its own end."""
    if not isinstance(grid, list) or not grid:
        return
    if isinstance(steps, list) and any(n != len(grid) - 1 for n in steps):
        yield path, f"has the times of {len(grid) - 1} steps; write `sample.steps: [{len(grid) - 1}]`, or a name"
    if isinstance(delta, (int, float)) and grid[-1] != delta:
        yield path, f"ends at {grid[-1]!r}, and `sample.delta` is {delta!r}; let both be the same"


def _routed(path: KeyPath, method: dict[str, Any], routers: dict[str, Any] | None) -> Iterator[tuple[KeyPath, str]]:
    router = method.get("router")
    if routers == {}:
        yield path, "samples from the experts, but `routers` is empty"
    elif routers is not None and isinstance(router, str) and router not in routers:
        unknown = f"no router is called {shortened(router)!r}{did_you_mean(router, routers)}"
        yield (*path, "router"), f"{unknown}  (routers: {', '.join(routers)})"


def _without_data(recipe: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """A recipe without data has no use for what is made from them."""
    if "data" not in recipe or "partition" not in recipe:
        return
    if recipe["data"] is None:
        if recipe.get("partition") is not None:
            yield ("partition",), _NEEDS_DATA
    elif recipe["partition"] is None:
        yield ("partition",), "is null, but there are `data` to split; name a partitioner"


_NEEDS_DATA = "needs the data of all shards together, and `data` is null; set it to null too"


def base_problems(recipe: Recipe) -> list[RecipeProblem]:
    """Every contradiction between a recipe's experts and its monolith, which is the base of those that are adapters."""
    expert, monolith = recipe.expert, recipe.monolith
    found: list[tuple[KeyPath, str]] = []
    if expert.adapts and monolith is None:
        base = "`monolith: {use: unet}` trains one, `{use: diffusers, path: FOLDER}` takes one that is there"
        found.append((("expert",), f"{expert.name} makes adapters, and no section `monolith` is their base; {base}"))
    if monolith is not None and monolith.adapts:
        found.append((("monolith",), f"{monolith.name} makes adapters, which need a base; name a network"))
    elif monolith is not None and recipe.data is None and not expert.adapts:
        found.append((("monolith",), _NEEDS_DATA))
    return [RecipeProblem(path=path, message=message) for path, message in found]


def _names(name: Any, routers: dict[str, Any], methods: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Names that become folders must stay inside the run."""
    named: list[tuple[KeyPath, str]] = [(("name",), name)] if isinstance(name, str) else []
    named += [(("routers", key), key) for key in routers] + [(("sample", "methods", key), key) for key in methods]
    for path, text in named:
        inside = text.translate({ord(sign): None for sign in "-_.+"})
        if not (inside.isalnum() and text[0].isalnum() and len(text) <= _LONGEST_NAME):
            yield path, "cannot be the name of a folder; use letters, digits, hyphens and dots"


def _doubles(sample: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    for key in ("steps", "seeds"):
        values = sample.get(key)
        seen: set[int] = set()
        for index, value in enumerate(values if isinstance(values, list) else []):
            if type(value) is not int:
                continue
            if value in seen:
                yield ("sample", key, index), f"{value} appears twice; remove one"
            seen.add(value)


def _section(value: Any, *path: str) -> dict[str, Any] | None:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None
