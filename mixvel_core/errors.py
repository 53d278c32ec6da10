"""Errors a user meets: each says what is wrong, where, and what to do about it, in one line.

All of them survive pickling (they cross process boundaries), so every argument is positional.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean X?"``, or nothing where no known name is near. Case does not count."""
    by_lower = {k.lower(): k for k in known}
    # Names of plugins and options are short; matching a pasted page against them would only take time.
    near = get_close_matches(name.lower()[:100], by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


class MixvelError(Exception):
    """Base of all errors that are reported without a traceback. ``exit_code`` is the command's."""

    exit_code = 4


class RecipeError(MixvelError):
    """A recipe, override or option is wrong; carries every problem found, one line each."""

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class UsageError(MixvelError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class PluginError(MixvelError):
    """A plugin is missing, broken, or claims a name that another one holds."""

    exit_code = 3


class DataError(MixvelError):
    """Data or weights are absent or unusable; the message names the way to get them."""

    exit_code = 3


class AbsentError(DataError):
    """What a recipe names is not on this machine; the message names the way to get it. Nothing else is worth saying."""


class UnreadableError(DataError):
    """Items cannot be read, or are not what a recipe states. Whatever they are tried on fails alike, so nothing else is
    worth saying."""


class ArtifactError(MixvelError):
    """A file of a run folder is damaged, foreign, or from another recipe."""


class TrainingError(MixvelError):
    """Training cannot go on (for example a loss that is not finite); what was saved is kept."""


class SamplingError(MixvelError):
    """An expert, router or selector returned something that cannot be used."""


class ConformanceError(MixvelError):
    """A component does not do what its protocol requires: ``what`` it does, and how to ``fix`` it."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}"
