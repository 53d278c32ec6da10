"""Weights from elsewhere: safetensors only, whose headers are compared with the network before anything is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import ExitStack
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
    files: Sequence[Path], expected: Mapping[str, Tensor], rename: Callable[[str], str] = lambda name: name
) -> dict[str, Tensor]:
    """The tensors of a model, each in one of ``files``, in the types of ``expected``, the state of its network.

    Names (after ``rename``, from those in the files to the network's) and shapes are compared with those of
    ``expected``, which may lie on torch's meta device, in the files' headers; only then is anything read. Raises
    DataError where a file is missing or damaged, or holds another network.
    """
    where = files[0] if len(files) == 1 else files[0].parent
    for path in files:
        check_name(path)
        _check_contents(path)
    try:
        with ExitStack() as stack:
            found: dict[str, tuple[Any, str]] = {}
            opened = [stack.enter_context(safe_open(str(path), framework="pt")) for path in files]
            wrapper = _wrapper({rename(name) for file in opened for name in file.keys()}, expected.keys())  # noqa: SIM118  # a safetensors file is no mapping
            for file in opened:
                for own in file.keys():  # noqa: SIM118  # as above
                    name = rename(own).removeprefix(wrapper)
                    if name in found:
                        raise DataError(f"{where}: holds {own} twice; remove files that do not belong to the model")
                    found[name] = file, own
            shapes = {name: tuple(file.get_slice(own).get_shape()) for name, (file, own) in found.items()}
            _check(shapes, expected, where)
            tensors: dict[str, Tensor] = {
                name: file.get_tensor(own).to(expected[name].dtype, copy=True) for name, (file, own) in found.items()
            }
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(f"{where}: cannot be read as safetensors ({error}); download it again") from None
    if bad := next((name for name, value in tensors.items() if not bool(torch.isfinite(value).all())), None):
        raise DataError(f"{where}: {bad} is not finite; download it again")
    return tensors


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
    for names, what in ((missing, "lacks"), (unknown, "holds, beyond the network,")):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            raise DataError(f"{where}: {what} {', '.join(names[:_SHOWN])}{more}; is it of another network?")
    for name, shape in found.items():
        if shape != (own := tuple(expected[name].shape)):
            raise DataError(f"{where}: {name} has shape {shape} where the network has {own}; is it of another network?")
