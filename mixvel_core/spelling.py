"""Did you mean ...? The nearest known name, for messages about unknown ones."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean X?"``, or nothing where no known name is near. Case does not count."""
    by_lower = {k.lower(): k for k in known}
    # Names of plugins and options are short; matching a pasted page against them would only take time.
    near = get_close_matches(name.lower()[:100], by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""
