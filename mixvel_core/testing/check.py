"""Check: one requirement of a protocol and how a component is tested for it; comparisons of tensors, without pytest."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.errors import ConformanceError
from mixvel_core.plugin.kinds import Kind, kind_called

ValueT = TypeVar("ValueT")
ROUNDING = {torch.float32: 2e-4, torch.float64: 1e-9}
"""What answers may differ by where nothing but the order of sums differs, as a part of their size."""


def gap(found: Tensor, wanted: Tensor) -> float:
    """The largest difference of entries, as a part of the largest entry or of 1; infinite for other shapes and NaN."""
    if found.shape != wanted.shape:
        return float("inf")
    if found.numel() == 0:
        return 0.0
    a, b = found.detach().double(), wanted.detach().double()
    difference = float((a - b).abs().max()) / max(1.0, float(b.abs().max()))
    return difference if difference == difference else float("inf")


def near(found: Tensor, wanted: Tensor, within: float | None = None) -> bool:
    """Whether two tensors are the same up to rounding, or ``within`` a part of their size."""
    return gap(found, wanted) <= (ROUNDING.get(wanted.dtype, 2e-2) if within is None else within)


def require_near(found: Tensor, wanted: Tensor, what: str, fix: str, within: float | None = None) -> None:
    """``found`` must be ``near`` to ``wanted``; the difference stands at the end of ``what``."""
    require(near(found, wanted, within), f"{what} {gap(found, wanted):.2g}", fix)


def looks(value: object) -> str:
    """Type and shape of a tensor, for messages."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def require_like(what: str, found: object, wanted: Tensor, fix: str) -> Tensor:
    """``found``, which must be a tensor of the shape, dtype and device of ``wanted``."""
    if not isinstance(found, Tensor):
        raise ConformanceError(f"{what} is a {type(found).__name__}, not a tensor", fix)
    same = found.shape == wanted.shape and found.dtype == wanted.dtype
    require(same, f"{what} is {looks(found)} where {looks(wanted)} is required", fix)
    require(found.device == wanted.device, f"{what} is on {found.device}, its arguments are on {wanted.device}", fix)
    return found


def require_finite(what: str, found: Tensor, fix: str) -> None:
    """Refuses NaN and infinity."""
    bad = int((~found.isfinite()).sum())
    require(bad == 0, f"{what}: {bad} of {found.numel()} values are NaN or infinite", fix)


def is_text(found: object) -> bool:
    """Whether it is a mapping of names to texts, and not empty."""
    return (
        isinstance(found, Mapping)
        and len(found) > 0
        and all(isinstance(name, str) and isinstance(text, str) for name, text in found.items())
    )


def pickled(what: str, value: ValueT, fix: str) -> ValueT:
    """``value`` as a worker receives it."""
    try:
        received: ValueT = pickle.loads(pickle.dumps(value))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConformanceError(f"{what} cannot be pickled: {error}", fix) from None
    return received


@contextmanager
def untouched(**arguments: Tensor) -> Iterator[None]:
    """Within the block nobody may write into ``arguments``."""
    before = {name: value.clone() for name, value in arguments.items()}
    yield
    for name, value in arguments.items():
        require(
            torch.equal(value, before[name]),
            f"{name} was edited in place: the caller's tensor holds other values after the call",
            f"compute into a new tensor: `{name} = {name} + ...` instead of `{name} += ...`, `mul` instead of `mul_`",
        )


def same_rows(what: str, answer: Callable[[Tensor], Tensor], count: int) -> None:
    """Rows stand alone and in any order: ``answer`` takes row numbers, and gives the answers to those rows together."""
    everyone = torch.arange(count)
    together = answer(everyone)
    alone = torch.cat([answer(everyone[i : i + 1]) for i in range(count)])
    require_near(
        alone,
        together,
        f"{what} of a point depends on the other points of its batch: alone it differs by",
        "use nothing that is taken over the batch axis (mean(0), BatchNorm in training mode, batch-wide scales)",
    )
    order = everyone.flip(0)
    require(
        near(answer(order), together[order]),
        f"{what} does not follow its points when the rows of the batch change places",
        "let row i of the answer belong to row i of the arguments, whatever its number",
    )


@frozen(kw_only=True)
class Check:
    """``name``: a word or two. ``requirement``: what must hold. ``run``: raises ConformanceError where it does not."""

    name: str
    requirement: str
    run: Callable[[Any], None]


@frozen(kw_only=True)
class Result:
    """How a check ended: ``error`` is None where the component passed, otherwise what it does and how to mend it."""

    check: Check
    error: ConformanceError | None

    @property
    def what(self) -> str:
        """What is wrong, in a line; empty where nothing is."""
        return self.error.what if self.error else ""

    @property
    def fix(self) -> str:
        """What to do about it; empty where nothing is wrong."""
        return self.error.fix if self.error else ""


def require(holds: bool, what: str, fix: str) -> None:
    """Raises ConformanceError, unless it ``holds``: ``what`` the component does, and how to ``fix`` it."""
    if not holds:
        raise ConformanceError(what, fix)


def checks_of(kind: Kind) -> tuple[Check, ...]:
    """The checks of a kind, from the simplest to the strictest."""
    module, _, name = kind_called(kind).checks.partition(":")
    functions = vars(import_module(module))[name]
    return tuple(
        Check(name=f.__name__, requirement=str(f.__doc__).strip().splitlines()[0].rstrip("."), run=f) for f in functions
    )


def run_checks(kind: Kind, make: Callable[[], object]) -> Iterator[Result]:
    """All checks of ``kind``, each on a component that ``make`` has just made."""
    for check in checks_of(kind):
        error: ConformanceError | None = None
        try:
            check.run(make())
        except ConformanceError as found:
            error = found
        except Exception as raised:  # whatever a component raises is a finding
            lines = str(raised).strip().splitlines() or [""]
            error = ConformanceError(
                f"raised {type(raised).__name__}: {lines[0]}", f"{_place(raised)}: look there first"
            )
        yield Result(check=check, error=error)


def _place(error: Exception) -> str:
    """The innermost line that was at work: file and number, the component's own where it got that far."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parent != Path(__file__).parent]
    last = (own or frames)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"
