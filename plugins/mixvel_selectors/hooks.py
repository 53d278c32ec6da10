"""Definitions of the selectors; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from attrs import frozen

from mixvel_core.plugin.definition import NoOptions, PluginDef, hookimpl
from mixvel_core.plugin.options import above_up_to, at_least, option
from mixvel_core.protocols import Selector


@frozen(kw_only=True)
class TopOptions:
    """Options of the selector ``topk``."""

    k: int = option(default=2, check=at_least(1), doc="experts evaluated at each step; at most K")


@frozen(kw_only=True)
class NucleusOptions:
    """Options of the selector ``nucleus``."""

    mass: float = option(default=0.99, check=above_up_to(0, 1), doc="share of the weight that selected experts hold")


@frozen(kw_only=True)
class CachedOptions:
    """Options of the selector ``cached``."""

    feedback: float = option(
        default=1.0,
        check=at_least(0),
        doc="how much of what earlier steps lacked is given back when an expert is evaluated: 1 all, 0 nothing",
    )
    tolerance: float | None = option(
        default=None,
        check=at_least(0),
        doc="error of the extrapolated experts, as a part of the integrator's local error; absent: one expert a step",
    )
    max_experts: int | None = option(
        default=None, check=at_least(1), doc="most experts evaluated in a step, at most K; absent: all"
    )


@frozen(kw_only=True)
class SwitchingOptions:
    """Options of the selector ``switching``."""

    memory: bool = option(default=True, doc="remember answers as control variates; false: the paper's draw, `iid`")
    importance: float = option(
        default=1.0, check=at_least(0), doc="p of q_k ~ a_k age_k^p: experts with an old memory are drawn more often"
    )
    mixing: float = option(default=0.3, check=above_up_to(0, 1), doc="e: share of the draws that follow a itself")


_SELECTORS = (
    ("mixture", NoOptions, "selectors:Mixture", "all experts of weight above zero: exact, up to K evaluations a step"),
    ("iid", NoOptions, "selectors:Iid", "one expert drawn from the posterior at every step: the paper's"),
    ("fixed", NoOptions, "selectors:Fixed", "one expert drawn from pi at the start and kept"),
    ("top1", NoOptions, "selectors:TopK", "the likeliest expert at every step (biased)"),
    ("topk", TopOptions, "selectors:TopK", "the k likeliest experts, weights scaled to sum 1 (biased)"),
    (
        "nucleus",
        NucleusOptions,
        "selectors:Nucleus",
        "the fewest likeliest experts that hold a share of the weight (biased)",
    ),
    ("sum-up", NoOptions, "selectors:SumUp", "one expert a step, turns in proportion to the weights; error of order h"),
    (
        "cached",
        CachedOptions,
        "cached:Cached",
        "one expert a step, the others remembered: near the mixture at 1/K of its cost",
    ),
    (
        "switching",
        SwitchingOptions,
        "switching:Switching",
        "one expert drawn at every step, the others remembered as control variates; unbiased, small variance",
    ),
)


_THEORY: Mapping[str, Literal["draw", "sum-up", "switching", "mixture"]] = {
    "iid": "draw",
    "sum-up": "sum-up",
    "switching": "switching",
    "mixture": "mixture",
}

_EXPERT_COUNTS: Mapping[str, Callable[[Any], Mapping[str, int | None]]] = {
    "topk": lambda options: {"k": options.k},
    "cached": lambda options: {"max_experts": options.max_experts},
}


@hookimpl
def mixvel_selectors() -> Sequence[PluginDef[Any, Selector]]:
    """The selectors of this package."""
    return [
        PluginDef(
            kind="selector",
            name=name,
            options=options,
            target=f"mixvel_selectors.{target}",
            theory=_THEORY.get(name),
            expert_counts=_EXPERT_COUNTS.get(name, lambda options: {}),
            summary=summary,
        )
        for name, options, target, summary in _SELECTORS
    ]
