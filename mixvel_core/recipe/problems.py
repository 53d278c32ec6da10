"""Problems: what is wrong with a recipe, where, in one line each; and what one section contradicts in another.

These look at plain data and pass over whatever does not have its expected form, so that their problems come
together with those of the typed check.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from attrs import evolve, frozen

from mixvel_core.errors import PluginError, RecipeError, did_you_mean

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
    lines = [_line(place, problem) for place, problem in located[:MOST_SHOWN]]
    if len(located) > MOST_SHOWN:
        lines.append(f"{len(located) - MOST_SHOWN} more problems are not shown")
    if distinct and all(problem.plugin for problem in distinct):
        return MissingPluginError(*lines)
    return RecipeError(*lines)


def _line(place: SourcePlace, problem: RecipeProblem) -> str:
    message = shortened(one_line(problem.message), _LONGEST_MESSAGE)
    return "  ".join(part for part in (one_line(str(place)), dotted(problem.path), message) if part)


def dotted(path: KeyPath) -> str:
    """The path as an override would write it."""
    return ".".join(shortened(one_line(str(key)), _LONGEST_KEY) for key in path)


def one_line(text: str) -> str:
    """``text`` with everything that would break or hide a line written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, longest: int = 60) -> str:
    """``text``, cut to ``longest`` characters."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


_LONGEST_NAME = 80


def cross_problems(value: Any) -> Iterator[RecipeProblem]:
    """Every contradiction between the parts of a recipe, given as plain data."""
    recipe = value if isinstance(value, dict) else {}
    routers = _section(recipe, "routers")
    methods = _section(recipe, "sample", "methods")
    yield from _names(recipe.get("name"), routers or {}, methods or {})
    sample = _section(recipe, "sample") or {}
    yield from _doubles(sample)
    if sample.get("grid") == "native" and sample.get("delta") != 0:
        message = "the steps of grid `native` end where the schedule's own do; write `delta: 0`"
        yield RecipeProblem(path=("sample", "delta"), message=message)
    if methods == {}:
        yield RecipeProblem(path=("sample", "methods"), message="is empty; name at least one method")
    for name, method in (methods or {}).items():
        if not isinstance(method, dict):
            continue
        path = ("sample", "methods", name)
        if method.get("model") == "monolith":
            yield from _monolith_method(path, method, recipe)
        else:
            yield from _routed_method(path, method, routers)
    yield from _without_data(recipe)
    study = _section(recipe, "study")
    if study is not None:
        yield from _routed_method(("study",), study, routers)


def _monolith_method(path: KeyPath, method: dict[str, Any], recipe: dict[str, Any]) -> Iterator[RecipeProblem]:
    if recipe.get("monolith") is None:
        yield RecipeProblem(path=(*path, "model"), message="the recipe has no section `monolith` to make it")
    for key in ("router", "selector"):
        if method.get(key) is not None:
            yield RecipeProblem(path=(*path, key), message="has no effect: the monolith is not routed; remove it")


def _routed_method(path: KeyPath, method: dict[str, Any], routers: dict[str, Any] | None) -> Iterator[RecipeProblem]:
    router = method.get("router")
    if routers == {}:
        yield RecipeProblem(path=path, message="samples from the experts, but `routers` is empty")
    elif routers is not None and isinstance(router, str) and router not in routers:
        unknown = f"no router is called {shortened(router)!r}{did_you_mean(router, routers)}"
        yield RecipeProblem(path=(*path, "router"), message=f"{unknown}  (routers: {', '.join(routers)})")


def _without_data(recipe: dict[str, Any]) -> Iterator[RecipeProblem]:
    """A recipe without data has no use for what is made from them."""
    if "data" not in recipe or "partition" not in recipe:
        return
    if recipe["data"] is None:
        for key in ("partition", "monolith"):
            if recipe.get(key) is not None:
                message = "needs the data of all shards together, and `data` is null; set it to null too"
                yield RecipeProblem(path=(key,), message=message)
    elif recipe["partition"] is None:
        yield RecipeProblem(path=("partition",), message="is null, but there are `data` to split; name a partitioner")


def _names(name: Any, routers: dict[str, Any], methods: dict[str, Any]) -> Iterator[RecipeProblem]:
    """Names that become folders must stay inside the run."""
    message = "cannot be the name of a folder; use letters, digits, hyphens and dots"
    if isinstance(name, str) and not _is_folder_name(name):
        yield RecipeProblem(path=("name",), message=message)
    for path, section in ((("routers",), routers), (("sample", "methods"), methods)):
        for key in section:
            if not _is_folder_name(key):
                yield RecipeProblem(path=(*path, key), message=message)


def _is_folder_name(text: str) -> bool:
    inside = text.translate({ord(sign): None for sign in "-_.+"})
    return inside.isalnum() and text[0].isalnum() and len(text) <= _LONGEST_NAME


def _doubles(sample: dict[str, Any]) -> Iterator[RecipeProblem]:
    for key in ("steps", "seeds"):
        values = sample.get(key)
        seen: set[int] = set()
        for index, value in enumerate(values if isinstance(values, list) else []):
            if type(value) is not int:
                continue
            if value in seen:
                yield RecipeProblem(path=("sample", key, index), message=f"{value} appears twice; remove one")
            seen.add(value)


def _section(value: Any, *path: str) -> dict[str, Any] | None:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None
