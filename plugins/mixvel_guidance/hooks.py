"""Definitions of the guidances; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from attrs import frozen

from mixvel_core.plugin.definition import NoOptions, PluginDef, hookimpl
from mixvel_core.plugin.options import at_least, between, option
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
    """Options of ``cfg``."""

    route: Literal["own", "shared"] = option(
        default="own",
        doc="by whose weights the experts without the condition are put together: p(k | x), or those of the condition",
    )


@hookimpl
def mixvel_guidance() -> Sequence[PluginDef[Any, Guidance]]:
    """The guidances of this package."""
    return (
        PluginDef(
            kind="guidance",
            name="none",
            options=NoOptions,
            target="mixvel_guidance.guidance:NoGuidance",
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
            name="autoguidance",
            options=IntervalOptions,
            target="mixvel_guidance.guidance:Autoguidance",
            summary="away from a weaker model, the monolith: M = M_weak + w (M_c - M_weak)",
        ),
    )
