"""Definitions of the selectors; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from mixvel_core.plugin.definition import NoOptions, PluginDef, hookimpl
from mixvel_core.plugin.options import above_up_to, at_least, option
from mixvel_core.protocols import Selector


@frozen(kw_only=True)
class TopOptions:
    """Options of the selector ``topk``."""

    k: int = option(default=2, check=at_least(1), doc="experts evaluated at each step; at most all of them")


@frozen(kw_only=True)
class NucleusOptions:
    """Options of the selector ``nucleus``."""

    mass: float = option(default=0.99, check=above_up_to(0, 1), doc="share of the weight that selected experts hold")


@frozen(kw_only=True)
class CachedOptions:
    """Options of the selector ``cached``."""

    tolerance: float | None = option(
        default=None,
        check=at_least(0),
        doc="error of the extrapolated experts, as a part of the integrator's local error; absent: one expert a step",
    )
    max_experts: int | None = option(
        default=None, check=at_least(1), doc="most experts evaluated in a step; absent: all"
    )


SELECTORS: Sequence[PluginDef[Any, Selector]] = (
    PluginDef(
        kind="selector",
        name="mixture",
        options=NoOptions,
        target="mixvel_selectors.selectors:Mixture",
        summary="all K experts, weighted: exact, K evaluations a step",
    ),
    PluginDef(
        kind="selector",
        name="iid",
        options=NoOptions,
        target="mixvel_selectors.selectors:Iid",
        summary="one expert drawn from the posterior at every step: the paper's",
    ),
    PluginDef(
        kind="selector",
        name="fixed",
        options=NoOptions,
        target="mixvel_selectors.selectors:Fixed",
        summary="one expert drawn from pi at the start and kept",
    ),
    PluginDef(
        kind="selector",
        name="top1",
        options=NoOptions,
        target="mixvel_selectors.selectors:TopK",
        summary="the likeliest expert at every step (biased)",
    ),
    PluginDef(
        kind="selector",
        name="topk",
        options=TopOptions,
        target="mixvel_selectors.selectors:TopK",
        summary="the k likeliest experts, weights scaled to sum 1 (biased)",
    ),
    PluginDef(
        kind="selector",
        name="nucleus",
        options=NucleusOptions,
        target="mixvel_selectors.selectors:Nucleus",
        summary="the fewest likeliest experts that hold a share of the weight (biased)",
    ),
    PluginDef(
        kind="selector",
        name="sum-up",
        options=NoOptions,
        target="mixvel_selectors.selectors:SumUp",
        summary="one expert a step, turns in proportion to the weights; error of order h",
    ),
    PluginDef(
        kind="selector",
        name="cached",
        options=CachedOptions,
        target="mixvel_selectors.cached:Cached",
        summary="one expert a step, the others remembered: near the mixture at 1/K of its cost",
    ),
)


@hookimpl
def mixvel_selectors() -> Sequence[PluginDef[Any, Selector]]:
    """The selectors of this package."""
    return SELECTORS
