"""One process in a run folder at a time; a second one is told who is there."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixvel_core.errors import MixvelError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds ``folder`` for the block. The kernel lets go when the process ends, however it ends.

    Raises MixvelError naming the holder's pid and host, or that the folder cannot be written.
    """
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise MixvelError(f"{folder}: cannot be written ({error.strerror}); choose another place with --out") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise MixvelError(f"{folder}: in use by {holder}; wait for it or choose another --out") from None
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
