"""Problems: what is wrong with a recipe, where, in one line each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from attrs import evolve, frozen

from mixvel_core.errors import PluginError, RecipeError

KeyPath: TypeAlias = tuple[str | int, ...]
"""The way to a value from the root of a recipe: keys of mappings and indices of lists."""

_LONGEST_KEY = 60
_LONGEST_MESSAGE = 500
MOST_SHOWN = 100
"""Problems of a recipe that are told one by one."""


class MissingPluginError(RecipeError, PluginError):
    """A recipe that is right in itself but names plugins that cannot be had."""

    exit_code = 3


@frozen(kw_only=True)
class Place:
    """Where something was written: line ``line`` of a file, or (None) an override. ``order`` sorts sources."""

    source: str
    line: int | None = None
    order: int = 0

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@frozen(kw_only=True)
class Problem:
    """One thing wrong at ``path``.

    ``plugin``: a plugin is missing or broken, the recipe may be right. ``place``: where to look, if that is
    not where the value at ``path`` stands.
    """

    path: KeyPath
    message: str
    plugin: bool = False
    place: Place | None = None

    def below(self, *keys: str | int) -> Problem:
        """The same problem, seen from further up."""
        return evolve(self, path=(*keys, *self.path))


class ProblemsFound(Exception):  # noqa: N818 - carries problems on their way up, and ends in a RecipeError
    """Raised inside this package by whatever finds problems; ``report`` makes the error that leaves it."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems


@frozen(kw_only=True)
class Tree:
    """Plain data (dict, list, str, int, float, bool, None) and where each part of it was written.

    ``problems``: what was found while it was read. ``readable``: False if there was no reading it at all.
    """

    value: Any
    places: Mapping[KeyPath, Place]
    problems: tuple[Problem, ...] = ()
    readable: bool = True

    def place(self, path: KeyPath) -> Place:
        """Where ``path`` stands, or else the nearest part around it that was written."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]


def report(tree: Tree, problems: Iterable[Problem]) -> RecipeError:
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


def _line(place: Place, problem: Problem) -> str:
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
