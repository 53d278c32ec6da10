"""What the machine has and lacks: processors, a home folder, open files, names that are text, a system that serves."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from mixvel_core.errors import AbsentError, UsageError

OPEN_FILES_ADVICE = (
    "too many open files for this machine's limit; raise it with `ulimit -n 4096` and run the same line again, or "
    "take fewer shards"
)
_MOST_OPEN_FILES = 10_240
"""What macOS allows at most, whatever its hard limit says."""

_RAW = re.compile("[\ud800-\udfff]")
"""What Python puts into a name for a byte that is no text."""


def check_system() -> None:
    """Raises UsageError on systems without the file locks and signals that run folders rest on."""
    if sys.platform in ("win32", "cygwin"):
        raise UsageError(
            "mixvel runs on Linux and macOS, not on Windows itself; install it inside WSL (`wsl --install`), where it "
            "is a Linux program"
        )


def usable_cpus() -> int:
    """The processors that this process may use, at least 1; all of the machine where the system does not say."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Linux alone has it
        return os.cpu_count() or 1


def allow_open_files() -> None:
    """Raises this process's limit of open files as far as it may: macOS begins with 256."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def from_home(path: Path | str) -> Path:
    """``path``, with ``~`` as the home folder and ``~name`` as that of a user.

    Raises AbsentError where there is no such home folder, as for a container's user number without a name.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise AbsentError(f"{path}: there is no such home folder here; set HOME, or write the path without ~") from None


def data_home(store: str | None) -> Path:
    """The folder of what is prepared once for all runs: ``store``, else MIXVEL_DATA, else in the user's cache folder.

    Raises AbsentError where none of them is there.
    """
    if store is not None or (store := os.environ.get("MIXVEL_DATA")):
        return from_home(store)
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "mixvel"
    try:
        return Path.home() / ".cache" / "mixvel"
    except RuntimeError:
        raise AbsentError(
            "no folder for prepared data: there is no home folder here; set MIXVEL_DATA to a folder, or `store` in the "
            "recipe"
        ) from None


def printable(name: str) -> str:
    r"""``name`` as text that can be encoded; bytes of a file's name that are no UTF-8 become ``\xe9`` and the like."""
    return _RAW.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", name)


def check_name(path: Path) -> None:
    """Raises UsageError where the name is no UTF-8 text: weights could be written there, and not be read."""
    if _RAW.search(str(path)):
        raise UsageError(
            f"{printable(str(path))}: the name is not UTF-8 text; choose another one, or rename the folder"
        )
