"""The exit codes of errors, from their classes."""

from __future__ import annotations

import inspect

from mixvel_core import errors
from reference_pages.markdown import plain, table


def exit_codes() -> str:
    """A row an error, by exit code."""
    classes = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, errors.MixvelError)]
    kinds = sorted((c for c in classes if c is not errors.MixvelError), key=lambda c: c.exit_code)
    return table(
        ("exit code", "error", "when"),
        [(str(c.exit_code), f"`{c.__name__}`", _when(c)) for c in kinds],
    )


def _when(error: type[errors.MixvelError]) -> str:
    return plain((error.__doc__ or "").strip().replace("``", "`"))
