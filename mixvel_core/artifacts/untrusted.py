"""Files from elsewhere: where the names in their lists may lead, and how long they may be."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from mixvel_core.errors import ArtifactError


def named_in(folder: Path, name: object) -> Path:
    """The file called ``name`` in a list that lies in ``folder``, which may come from elsewhere.

    Raises ArtifactError where it would lead out of there: an absolute path, one with ``..``, or through a link.
    """
    parts = PurePath(name).parts if isinstance(name, str) and "\0" not in name else ()
    if not parts or PurePath(*parts).is_absolute() or ".." in parts:
        raise ArtifactError(f"{folder}: {name!r:.60} is not the name of a file in it; ask for the folder again")
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise ArtifactError(f"{path}: a link; put the file itself there")
    return path


def check_fits_memory(path: Path) -> None:
    """Raises ArtifactError for a file that is longer than this machine's memory; nothing of it is read.

    What safetensors claims to hold is as long as the file, which it checks; but a file with holes may be of any length.
    """
    size, memory = path.stat().st_size, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise ArtifactError(f"{path}: {size / 1e9:.0f} GB, more than this machine's memory of {memory / 1e9:.0f} GB")
