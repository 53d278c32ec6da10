"""What tells one use of a plugin from another: the options that are not its defaults."""

from __future__ import annotations

import json
from typing import Any

from attrs import NOTHING, Factory, fields, has

from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.use import Use


def told(use: Use[Any]) -> list[str]:
    """The options that are not defaults, as ``k=2``; groups of options are left to the recipe."""
    options = use.options
    values = ((field, getattr(options, field.name)) for field in fields(type(options)))
    return [
        f"{field.alias}={value if isinstance(value, str) else json.dumps(plain(value))}"
        for field, value in values
        if value != _default(field.default) and not has(type(value))
    ]


def label(use: Use[Any]) -> str:
    """The plugin's name and ``told`` behind it, as in ``cached tolerance=0.3``."""
    return " ".join([use.name, *told(use)])


def _default(default: Any) -> Any:
    # The type of a default that is a factory is known when it runs only; those that `option` makes take no argument.
    if isinstance(default, Factory):  # type: ignore[arg-type]  # attrs declares Factory a function
        return default.factory()
    return None if default is NOTHING else default
