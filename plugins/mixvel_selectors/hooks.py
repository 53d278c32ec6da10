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
    """Options of ``topk``."""

    k: int = option(default=2, check=at_least(1), doc="experts evaluated at each step; at most all of them")


@frozen(kw_only=True)
class NucleusOptions:
    """Options of ``nucleus``."""

    mass: float = option(default=0.99, check=above_up_to(0, 1), doc="share of the weight that the experts asked hold")


@frozen(kw_only=True)
class CachedOptions:
    """Options of ``cached``."""

    tolerance: float | None = option(
        default=None,
        check=at_least(0),
        doc="error of the remembered experts, as a part of the integrator's local error; absent: one expert a step",
    )
    max_experts: int | None = option(
        default=None, check=at_least(1), doc="most experts evaluated in a step; absent: all"
    )


def _mixture(options: NoOptions) -> Selector:
    from mixvel_selectors.weighted import Mixture

    return Mixture()


def _iid(options: NoOptions) -> Selector:
    from mixvel_selectors.single import Iid

    return Iid()


def _fixed(options: NoOptions) -> Selector:
    from mixvel_selectors.single import Fixed

    return Fixed()


def _top1(options: NoOptions) -> Selector:
    from mixvel_selectors.weighted import TopK

    return TopK(k=1)


def _topk(options: TopOptions) -> Selector:
    from mixvel_selectors.weighted import TopK

    return TopK(k=options.k)


def _nucleus(options: NucleusOptions) -> Selector:
    from mixvel_selectors.weighted import Nucleus

    return Nucleus(mass=options.mass)


def _sum_up(options: NoOptions) -> Selector:
    from mixvel_selectors.single import SumUp

    return SumUp()


def _cached(options: CachedOptions) -> Selector:
    from mixvel_selectors.cached import Cached

    return Cached(tolerance=options.tolerance, max_experts=options.max_experts)


@hookimpl
def mixvel_selectors() -> Sequence[PluginDef[Any, Selector]]:
    """mixture, iid, fixed, top1, topk, nucleus, sum-up, cached."""
    return (
        PluginDef(
            kind="selector",
            name="mixture",
            options=NoOptions,
            build=_mixture,
            example=lambda: _mixture(NoOptions()),
            summary="all K experts, weighted: exact, K evaluations a step",
        ),
        PluginDef(
            kind="selector",
            name="iid",
            options=NoOptions,
            build=_iid,
            example=lambda: _iid(NoOptions()),
            summary="one expert drawn from the posterior at every step: the paper's",
        ),
        PluginDef(
            kind="selector",
            name="fixed",
            options=NoOptions,
            build=_fixed,
            example=lambda: _fixed(NoOptions()),
            summary="one expert drawn from pi at the start and kept",
        ),
        PluginDef(
            kind="selector",
            name="top1",
            options=NoOptions,
            build=_top1,
            example=lambda: _top1(NoOptions()),
            summary="the likeliest expert at every step (biased)",
        ),
        PluginDef(
            kind="selector",
            name="topk",
            options=TopOptions,
            build=_topk,
            example=lambda: _topk(TopOptions()),
            summary="the k likeliest experts, weights scaled to sum 1 (biased)",
        ),
        PluginDef(
            kind="selector",
            name="nucleus",
            options=NucleusOptions,
            build=_nucleus,
            example=lambda: _nucleus(NucleusOptions()),
            summary="the fewest likeliest experts that hold a share of the weight (biased)",
        ),
        PluginDef(
            kind="selector",
            name="sum-up",
            options=NoOptions,
            build=_sum_up,
            example=lambda: _sum_up(NoOptions()),
            summary="one expert a step, turns in proportion to the weights; error of order h",
        ),
        PluginDef(
            kind="selector",
            name="cached",
            options=CachedOptions,
            build=_cached,
            example=lambda: _cached(CachedOptions()),
            summary="one expert a step, the others remembered: near the mixture at 1/K of its cost",
        ),
    )
