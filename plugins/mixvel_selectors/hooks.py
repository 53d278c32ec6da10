"""Definitions of the selectors; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from mixvel_core.plugin.definition import NoOptions, PluginDef
from mixvel_core.plugin.options import at_least, option
from mixvel_core.plugin.specs import hookimpl
from mixvel_core.protocols import Selector


@frozen(kw_only=True)
class TopOptions:
    """Options of ``topk``."""

    k: int = option(default=2, check=at_least(1), doc="experts evaluated at each step; at most all of them")


def _mixture(options: NoOptions) -> Selector:
    from mixvel_selectors.mixture import Mixture

    return Mixture()


def _iid(options: NoOptions) -> Selector:
    from mixvel_selectors.iid import Iid

    return Iid()


def _fixed(options: NoOptions) -> Selector:
    from mixvel_selectors.fixed import Fixed

    return Fixed()


def _top1(options: NoOptions) -> Selector:
    from mixvel_selectors.top import TopK

    return TopK(k=1)


def _topk(options: TopOptions) -> Selector:
    from mixvel_selectors.top import TopK

    return TopK(k=options.k)


@hookimpl
def mixvel_selectors() -> Sequence[PluginDef[Any, Selector]]:
    """mixture, iid, fixed, top1, topk."""
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
    )
