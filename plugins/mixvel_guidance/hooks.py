"""Definitions of the guidances; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, Self

from attrs import evolve, frozen

from mixvel_core.plugin.definition import NoOptions, PluginDef, hookimpl
from mixvel_core.plugin.levels import agreed_boundaries
from mixvel_core.plugin.options import OptionCheck, at_least, between, each, inside, option
from mixvel_core.protocols import Guidance


@frozen(kw_only=True)
class IntervalOptions:
    """How much a guidance extrapolates, and when."""

    scale: float = option(
        default=2.0, check=at_least(0), doc="w: 1 follows the condition alone, 0 its reference, more extrapolates"
    )
    low: float = option(default=0.0, check=between(0, 1), doc="below this time w is 1")
    high: float = option(default=1.0, check=between(0, 1), doc="above this time w is 1")

    def __attrs_post_init__(self) -> None:
        """Raises ValueError where the interval is empty."""
        if self.low >= self.high:
            raise ValueError(f"low must be below high, {self.high:g}, not {self.low:g}")


@frozen(kw_only=True)
class ClassifierFreeOptions(IntervalOptions):
    """Options of the guidance ``cfg``."""

    route: Literal["own", "shared"] = option(
        default="own",
        doc="by whose weights the experts without the condition are put together: p(k | x), or those of the condition",
    )


_SCALES = OptionCheck(text="a list, not empty, of numbers at least 0", holds=lambda v: len(v) > 0 and min(v) >= 0)


@frozen(kw_only=True)
class LevelsOptions:
    """Options of the guidance ``cfg-levels``."""

    boundaries: tuple[float, ...] | None = option(
        default=None,
        check=each(inside(0, 1)),
        doc="times, rising, where one scale ends and the next begins; as of router noise-levels; absent: what the "
        "folder of the experts says (`boundary_ratio`)",
    )
    scales: tuple[float, ...] = option(check=_SCALES, doc="w of each level, that nearest data first")
    route: Literal["own", "shared"] = option(
        default="own",
        doc="by whose weights the experts without the condition are put together: p(k | x), or those of the condition",
    )

    def __attrs_post_init__(self) -> None:
        """Raises ValueError where times do not rise, or there are not as many scales as levels."""
        if self.boundaries is None:
            return
        if any(b <= a for a, b in pairwise(self.boundaries)):
            raise ValueError(f"boundaries must rise, not {list(self.boundaries)}")
        if len(self.scales) != len(self.boundaries) + 1:
            raise ValueError(
                f"scales: {len(self.boundaries)} boundaries part {len(self.boundaries) + 1} levels, and there are "
                f"{len(self.scales)} scales; give one for each level"
            )

    def at_levels(self, times: Sequence[float] | None) -> Self:
        """These options with the experts' own times. Raises ValueError where they contradict, or there are none."""
        return evolve(self, boundaries=agreed_boundaries(self.boundaries, times))


@hookimpl
def mixvel_guidance() -> Sequence[PluginDef[Any, Guidance]]:
    """The guidances of this package."""
    return (
        PluginDef(
            kind="guidance",
            name="none",
            options=NoOptions,
            target="mixvel_guidance.guidance:NoGuidance",
            leads=False,
            summary="the conditional mixture itself: M = M_c",
        ),
        PluginDef(
            kind="guidance",
            name="cfg",
            options=ClassifierFreeOptions,
            target="mixvel_guidance.guidance:ClassifierFree",
            summary="classifier-free: M = M_null + w (M_c - M_null); twice the evaluations where w is not 1",
        ),
        PluginDef(
            kind="guidance",
            name="cfg-levels",
            options=LevelsOptions,
            target="mixvel_guidance.guidance:LevelledClassifierFree",
            example_options=LevelsOptions(boundaries=(0.5,), scales=(1.0, 3.0)),
            at_levels=LevelsOptions.at_levels,
            summary="classifier-free with a scale for each level of noise, as for experts that part the time axis",
        ),
        PluginDef(
            kind="guidance",
            name="autoguidance",
            options=IntervalOptions,
            target="mixvel_guidance.guidance:Autoguidance",
            by_weaker=True,
            summary="away from a weaker model, the monolith: M = M_weak + w (M_c - M_weak)",
        ),
    )
