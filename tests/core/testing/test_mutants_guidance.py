"""The kit finds what is wrong with broken guidances."""

from __future__ import annotations

import math
from collections.abc import Callable

from attrs import frozen
from conformance import Mutant, each_mutant, require_complaint
from torch import Tensor

from mixvel_core.plugin.kinds import Kind
from mixvel_core.protocols.guidance import Reference, Route


def _extrapolated(given: Tensor, other: Tensor, w: float) -> Tensor:
    return other + w * (given - other)


@frozen(kw_only=True)
class Led:
    """M_r + w (M_c - M_r) at times up to ``high``; each field is a way to spoil it."""

    scale: float = 3.0
    combined: Callable[[Tensor, Tensor, float], Tensor] = _extrapolated
    reference: Reference = "null"
    route: Route = "own"
    high: float = 1.0

    def at(self, t: float) -> float:
        return self.scale if t <= self.high else 1.0

    def combine(self, given: Tensor, other: Tensor, t: float) -> Tensor:
        return self.combined(given, other, self.at(t))


def _in_place(given: Tensor, other: Tensor, w: float) -> Tensor:
    return other.add_(w * (given - other))


def _length(M: Tensor) -> Tensor:
    return M.square().sum(1, keepdim=True).sqrt()


def _rescaled(given: Tensor, other: Tensor, w: float) -> Tensor:
    led = _extrapolated(given, other, w)
    return led * (_length(given) / _length(led))


def _of_the_batch(given: Tensor, other: Tensor, w: float) -> Tensor:
    return _extrapolated(given, other - other.mean(0) + given.mean(0), w)


def _projected(given: Tensor, other: Tensor, w: float) -> Tensor:
    apart = given - other
    return given + (w - 1) * apart * (_length(apart) / _length(apart))


GUIDANCES: list[Mutant] = [
    ("nothing", Led(), ""),
    ("in an interval", Led(high=0.5), ""),
    ("scale one", Led(scale=1.0), ""),
    ("NaN for a scale", Led(scale=math.nan), "scale"),
    ("a scale below zero", Led(scale=-0.5), "scale"),
    ("no such reference", Led(reference="nobody"), "scale"),  # type: ignore[arg-type]  # the mistake
    ("no such route", Led(route="by hand"), "scale"),  # type: ignore[arg-type]  # the mistake
    ("edits M_r", Led(combined=_in_place), "shape"),
    ("always float32", Led(combined=lambda c, r, w: _extrapolated(c, r, w).float()), "shape"),
    ("follows M_r outside", Led(high=0.5, combined=lambda c, r, w: r if w == 1 else _extrapolated(c, r, w)), "one"),
    ("not linear", Led(combined=_rescaled), "linear"),
    ("clipped", Led(combined=lambda c, r, w: _extrapolated(c, r, w).clamp(-1, 1)), "linear"),
    ("leads away from nothing", Led(combined=lambda c, r, w: (1 + w) * c - 0.9 * w * r), "agreement"),
    ("divides by the difference", Led(combined=_projected), "finite"),
    ("depends on the batch", Led(combined=_of_the_batch), "rows"),
]


@each_mutant({"guidance": GUIDANCES})
def test_broken_components_are_named_and_sound_ones_pass(kind: Kind, component: object, check: str) -> None:
    require_complaint(kind, check, component)
