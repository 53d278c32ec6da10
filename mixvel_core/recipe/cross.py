"""What one section of a recipe says about another: names that must exist, settings without effect, doubles.

These look at plain data and pass over whatever does not have its expected form, so that their problems come
together with those of the typed check.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mixvel_core.recipe.problems import KeyPath, Problem, shortened
from mixvel_core.spelling import did_you_mean

_LONGEST_NAME = 80


def cross_problems(value: Any) -> Iterator[Problem]:
    """Every contradiction between the parts of a recipe, given as plain data."""
    recipe = value if isinstance(value, dict) else {}
    routers = _section(recipe, "routers")
    methods = _section(recipe, "sample", "methods")
    yield from _names(recipe.get("name"), routers or {}, methods or {})
    sample = _section(recipe, "sample") or {}
    yield from _doubles(sample)
    if sample.get("grid") == "native" and sample.get("delta") != 0:
        message = "the steps of grid `native` end where the schedule's own do; write `delta: 0`"
        yield Problem(path=("sample", "delta"), message=message)
    if methods == {}:
        yield Problem(path=("sample", "methods"), message="is empty; name at least one method")
    for name, method in (methods or {}).items():
        if not isinstance(method, dict):
            continue
        path = ("sample", "methods", name)
        if method.get("model") == "monolith":
            yield from _monolith_method(path, method, recipe)
        else:
            yield from _routed_method(path, method, routers)
    yield from _away(recipe)
    study = _section(recipe, "study")
    if study is not None:
        yield from _routed_method(("study",), study, routers)


def _monolith_method(path: KeyPath, method: dict[str, Any], recipe: dict[str, Any]) -> Iterator[Problem]:
    if recipe.get("monolith") is None:
        yield Problem(path=(*path, "model"), message="the recipe has no section `monolith` to make it")
    for key in ("router", "selector"):
        if method.get(key) is not None:
            yield Problem(path=(*path, key), message="has no effect: the monolith is not routed; remove it")


def _routed_method(path: KeyPath, method: dict[str, Any], routers: dict[str, Any] | None) -> Iterator[Problem]:
    router = method.get("router")
    if routers == {}:
        yield Problem(path=path, message="samples from the experts, but `routers` is empty")
    elif routers is not None and isinstance(router, str) and router not in routers:
        unknown = f"no router is called {shortened(router)!r}{did_you_mean(router, routers)}"
        yield Problem(path=(*path, "router"), message=f"{unknown}  (routers: {', '.join(routers)})")


def _away(recipe: dict[str, Any]) -> Iterator[Problem]:
    """A recipe without data has no use for what is made from them."""
    if "data" not in recipe or "partition" not in recipe:
        return
    if recipe["data"] is None:
        for key in ("partition", "monolith"):
            if recipe.get(key) is not None:
                message = "needs the data of all shards together, and `data` is null; set it to null too"
                yield Problem(path=(key,), message=message)
    elif recipe["partition"] is None:
        yield Problem(path=("partition",), message="is null, but there are `data` to split; name a partitioner")


def _names(name: Any, routers: dict[str, Any], methods: dict[str, Any]) -> Iterator[Problem]:
    """Names that become folders must stay inside the run."""
    message = "cannot be the name of a folder; use letters, digits, hyphens and dots"
    if isinstance(name, str) and not _is_folder_name(name):
        yield Problem(path=("name",), message=message)
    for path, section in ((("routers",), routers), (("sample", "methods"), methods)):
        for key in section:
            if not _is_folder_name(key):
                yield Problem(path=(*path, key), message=message)


def _is_folder_name(text: str) -> bool:
    inside = text.translate({ord(sign): None for sign in "-_.+"})
    return inside.isalnum() and text[0].isalnum() and len(text) <= _LONGEST_NAME


def _doubles(sample: dict[str, Any]) -> Iterator[Problem]:
    for key in ("steps", "seeds"):
        values = sample.get(key)
        seen: set[int] = set()
        for index, value in enumerate(values if isinstance(values, list) else []):
            if type(value) is not int:
                continue
            if value in seen:
                yield Problem(path=("sample", key, index), message=f"{value} appears twice; remove one")
            seen.add(value)


def _section(value: Any, *path: str) -> dict[str, Any] | None:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None
