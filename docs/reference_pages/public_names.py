"""The public names of ``mixvel_core``, from their docstrings."""

from __future__ import annotations

import inspect

import mixvel_core
from reference_pages.markdown import plain, table


def public_names() -> str:
    """A row a name: what it is, and the module that it comes from."""
    names = [name for name in mixvel_core.__all__ if name != "__version__"]
    return table(
        ("name", "what it is", "module"),
        [(f"`{name}`", _first(getattr(mixvel_core, name)), f"`{mixvel_core._HOMES[name]}`") for name in names],
    )


def _first(made: object) -> str:
    text = inspect.getdoc(made) or ""
    return plain(text.partition("\n\n")[0].replace("\n", " ").replace("``", "`"))
