"""One process in a folder at a time; the lock file names it to others."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mixvel_core.errors import MixvelError, UsageError
from mixvel_core.machine import check_system

try:
    import fcntl
except ModuleNotFoundError:
    check_system()
    raise


@contextmanager
def locked(
    folder: Path, wait: Callable[[str], None] | None = None, cure: str = "choose another --out"
) -> Iterator[None]:
    """Holds ``folder`` for the block, and leaves no trace of that: the lock file goes, and so does a folder that was
    made for it and stayed empty. The kernel lets go when the process ends, however it ends.

    Args:
        folder: made if absent.
        wait: where given, a process that finds the folder in use waits for it, after calling this with a line that
            names the holder.
        cure: what to do about a folder that cannot be written, for messages.

    Raises:
        MixvelError: another process, named by pid and host, holds it, and ``wait`` is None.
        UsageError: the folder cannot be written.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    path = folder / ".lock"
    with _held(folder, path, wait, cure) as file:
        try:
            _sign(file, folder, cure)
            yield
        finally:
            # Removed while it is held: whoever has opened it meanwhile finds it gone, and opens the next one.
            path.unlink(missing_ok=True)
            with suppress(OSError):
                for place in made:
                    place.rmdir()


def _held(folder: Path, path: Path, wait: Callable[[str], None] | None, cure: str) -> IO[str]:
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = path.open("a+", encoding="utf-8")
            file.seek(0)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be written ({error.strerror}); {cure}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read().strip() or "another process"
            if wait is None:
                file.close()
                raise MixvelError(f"{folder}: in use by {holder}; wait for it or {cure}") from None
            wait(f"{folder}: in use by {holder}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            file.close()
            raise UsageError(f"{folder}: cannot be locked ({error.strerror}); {cure}") from None
        if _is_at(path, file):
            return file
        file.close()


def _sign(file: IO[str], folder: Path, cure: str) -> None:
    """Writes into the lock file which process holds it."""
    try:
        os.ftruncate(file.fileno(), 0)
        # Past the buffer: closing would try once more to write what a full disk has no room for.
        os.write(file.fileno(), f"pid {os.getpid()} on {socket.gethostname()}".encode())
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror}); make room or {cure}") from None


def _is_at(path: Path, file: IO[str]) -> bool:
    """Whether the open ``file`` is still the one at ``path``."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
