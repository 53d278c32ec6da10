"""How numbers, shapes and plugins are written in the page."""

from __future__ import annotations

from typing import Any

from mixvel_core.recipe.told import told
from mixvel_core.recipe.use import RouterUse, Use
from mixvel_core.stages.drawn import drawn_options
from mixvel_core.stages.sample import Draw


def number(value: float) -> str:
    """Four significant digits, trailing zeros kept, so that a column of them lines up: 1.200, 0.01234, 1.2e+05."""
    return f"{value:#.4g}".rstrip(".") if abs(value) < 1e5 else f"{value:.3g}"


def spread(value: float) -> str:
    """Two significant digits: more are not known of a standard deviation over a few seeds."""
    return f"{value:#.2g}".rstrip(".") if abs(value) < 100 else f"{value:.3g}"


def amount(value: float) -> str:
    """A count, or a mean of counts: 40, 1,797, 12.5."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def shape_text(shape: tuple[int, ...]) -> str:
    """1 × 8 × 8 for images; the dimension for vectors."""
    return f"{shape[0]} dimensions" if len(shape) == 1 else " × ".join(str(size) for size in shape)


def brief(use: Use[Any]) -> str:
    """A plugin with the options that are not its defaults, ``topk (k=2)``; groups of options are left to the recipe."""
    options = told(use)
    return f"{use.name} ({', '.join(options)})" if options else use.name


def learned_from(use: RouterUse) -> str:
    """What a router's networks were trained on; nothing for a router without any."""
    drawn = drawn_options(use)
    if drawn is not None:
        return f"{amount(drawn.count)} samples of the experts ({drawn.integrator}, {drawn.steps} steps)"
    return "the items of the shards" if hasattr(use.options, "train_on") else ""


def method_text(draw: Draw) -> str:
    """How a method samples: router, selector and integrator; the monolith has but the last."""
    if draw.router is None:
        return f"monolith · {brief(draw.integrator)}"
    return f"{draw.router} · {brief(draw.selector)} · {brief(draw.integrator)}"
