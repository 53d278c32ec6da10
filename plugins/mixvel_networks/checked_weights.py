"""Weights from elsewhere: safetensors only, whose headers are compared with the network before anything is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mixvel_core.errors import AbsentError, DataError
from mixvel_core.machine import check_name

_SHOWN = 3
_WRAPPERS = ("module.", "_orig_mod.", "model.", "network.", "net.", "unet.", "ema_model.")
"""What data parallel, compiled and other wrappers put before the names of a network's weights."""


def read_checked(
    files: Sequence[Path],
    expected: Mapping[str, Tensor],
    rename: Callable[[str], str] = lambda name: name,
    part: str = "",
) -> dict[str, Tensor]:
    """The tensors of a model, each in one of ``files``, in the types of ``expected``, the state of its network.

    Names (after ``rename``, from those in the files to the network's) and shapes are compared with those of
    ``expected``, which may lie on torch's meta device, in the files' headers; only then is anything read.

    Args:
        files: which hold the model together.
        expected: its tensors by name.
        rename: from the names in the files, less ``part``.
        part: what the names of its tensors in the files begin with; others are left out.

    Raises:
        DataError: a file is missing or damaged, or holds another network.
    """
    where = _place(files)
    with _opened(files, expected, rename, part) as found:
        tensors: dict[str, Tensor] = {
            name: file.get_tensor(own).to(expected[name].dtype, copy=True) for name, (file, own) in found.items()
        }
    if bad := next((name for name, value in tensors.items() if not bool(torch.isfinite(value).all())), None):
        raise DataError(f"{where}: {bad} is not finite; download it again")
    return tensors


def check_weights(
    files: Sequence[Path],
    expected: Mapping[str, Tensor],
    rename: Callable[[str], str] = lambda name: name,
    part: str = "",
) -> None:
    """Raises DataError where ``read_checked`` would, but for the values, of which none is read."""
    with _opened(files, expected, rename, part):
        pass


def read_one(path: Path, name: str) -> Tensor | None:
    """One tensor of a file, by its name there; None where it has none. Raises DataError where it cannot be read."""
    check_name(path)
    _check_contents(path)
    try:
        with safe_open(str(path), framework="pt") as file:
            found: Tensor | None = file.get_tensor(name) if name in file.keys() else None  # noqa: SIM118  # as above
            return found
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as safetensors ({error}); download it again") from None


def read_only(path: Path) -> Tensor:
    """The only tensor of a file. Raises DataError where it holds none, or several, or one that is not finite."""
    check_name(path)
    _check_contents(path)
    try:
        with safe_open(str(path), framework="pt") as file:
            names = list(file.keys())
            found: Tensor | None = file.get_tensor(names[0]) if len(names) == 1 else None
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as safetensors ({error}); write it again") from None
    if found is None or not bool(torch.isfinite(found).all()):
        raise DataError(f"{path}: holds {len(names)} tensors, or values that are not finite; save one tensor there")
    return found


def _place(files: Sequence[Path]) -> Path:
    return files[0] if len(files) == 1 else files[0].parent


@contextmanager
def _opened(
    files: Sequence[Path], expected: Mapping[str, Tensor], rename: Callable[[str], str], part: str
) -> Iterator[dict[str, tuple[Any, str]]]:
    """The open file and the name there of each tensor of ``expected``, whose headers are compared with it."""
    where = _place(files)
    for path in files:
        check_name(path)
        _check_contents(path)
    try:
        with ExitStack() as stack:
            opened = [stack.enter_context(safe_open(str(path), framework="pt")) for path in files]
            own = [(file, name) for file in opened for name in file.keys() if name.startswith(part)]  # noqa: SIM118  # a safetensors file is no mapping
            names = [rename(name.removeprefix(part)) for _, name in own]
            wrapper = _wrapper(set(names), expected.keys())
            found: dict[str, tuple[Any, str]] = {}
            for name, place in zip(names, own, strict=True):
                if name.removeprefix(wrapper) in found:
                    raise DataError(f"{where}: holds {place[1]} twice; remove files that do not belong to the model")
                found[name.removeprefix(wrapper)] = place
            shapes = {name: tuple(file.get_slice(own).get_shape()) for name, (file, own) in found.items()}
            _check(shapes, expected, where)
            yield found
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(f"{where}: cannot be read as safetensors ({error}); download it again") from None


def read_all(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file, and its metadata. Raises DataError where it is damaged, or holds what is not finite."""
    check_name(path)
    _check_contents(path)
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  # a safetensors file is no mapping
            metadata = dict(file.metadata() or {})
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as safetensors ({error}); download it again") from None
    if bad := next((name for name, value in tensors.items() if not bool(torch.isfinite(value).all())), None):
        raise DataError(f"{path}: {bad} is not finite; download it again")
    return tensors, metadata


def _wrapper(found: Set[str], expected: Set[str]) -> str:
    """What stands before all names in the files and is no part of the network's; empty where the names are its own."""
    for wrapper in _WRAPPERS:
        if found and {wrapper + name for name in expected} == found:
            return wrapper
    return ""


def _check_contents(path: Path) -> None:
    """Raises DataError for what stands in place of weights: a pointer to them, or a page that says no."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise AbsentError(f"{path}: cannot be read ({error.strerror}); permit it, or download it again") from None
    if start.startswith(b"version https://git-lfs"):
        raise AbsentError(f"{path}: a pointer of Git LFS and not the weights; `git lfs pull` in its folder gets them")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise AbsentError(f"{path}: a web page and not the weights; download the file itself, with `hf download`")


def _check(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, Tensor], where: Path) -> None:
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    listed = [
        f"{what} {_some(names)}"
        for names, what in ((missing, "lacks"), (unknown, "holds, beyond the network,"))
        if names
    ]
    if listed:
        raise DataError(f"{where}: {', and '.join(listed)}; is it of another network?")
    shapes = {name: tuple(value.shape) for name, value in expected.items()}
    others = [
        f"{name} has shape {shape} where the network has {shapes[name]}"
        for name, shape in found.items()
        if shape != shapes[name]
    ]
    if others:
        raise DataError(f"{where}: {_some(others)}; is it of another network?")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
