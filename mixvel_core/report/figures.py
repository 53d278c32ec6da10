"""Charts as SVG within the page, and how numbers, shapes and plugins are written there."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Iterable, Sequence
from textwrap import fill
from typing import Any, TypeAlias, TypeVar

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mixvel_core.pipeline.sample_specs import SampleSpec
from mixvel_core.plugin.definition import RouterUse, Use
from mixvel_core.recipe.describe import chosen_options
from mixvel_core.recipe.grids import grid_name


def number(value: float) -> str:
    """Four significant digits, trailing zeros kept, so that a column of them lines up: 1.200, 0.01234, 1.2e+05."""
    return f"{value:#.4g}".rstrip(".") if abs(value) < 1e5 else f"{value:.3g}"


def plus_minus(value: float) -> str:
    """Two significant digits: a standard deviation over a few seeds has no more."""
    return f"{value:#.2g}".rstrip(".") if abs(value) < 100 else f"{value:.3g}"


def amount(value: float) -> str:
    """A count, or a mean of counts: 40, 1,797, 12.5."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def shape_text(shape: tuple[int, ...]) -> str:
    """1 × 8 × 8 for images; the dimension for vectors."""
    return f"{shape[0]} dimensions" if len(shape) == 1 else " × ".join(str(size) for size in shape)


def brief(use: Use[Any]) -> str:
    """A plugin with the options that are not its defaults, ``topk (k=2)``; groups of options are left to the recipe."""
    options = chosen_options(use)
    return f"{use.name} ({', '.join(options)})" if options else use.name


def learned_from(use: RouterUse) -> str:
    """What a router's networks were trained on; nothing for a router without any."""
    drawn = use.router_data()
    if drawn is not None:
        return f"{amount(drawn.count)} samples of the experts ({drawn.integrator}, {drawn.steps} steps)"
    return "the items of the shards" if use.is_trained else ""


def method_text(draw: SampleSpec) -> str:
    """How a method samples: router, selector, integrator and grid; the monolith has but the last two."""
    how = f"{brief(draw.integrator)} · {grid_name(draw.grid)}"
    return f"monolith · {how}" if draw.router is None else f"{draw.router} · {brief(draw.selector)} · {how}"


GREY = "#8b919a"
ACCENT = "#2f6fb3"
_TEN = (
    "#3b76af", "#e08a3c", "#5a9e5f", "#c3514e", "#8e6bb0", "#8a6550", "#d080b4", "#7d8590", "#b5b04a", "#4fb0bd",
)  # fmt: skip  # a table of colours, read as one

# Keyed by Any: the type of its keys lists every setting of one version of matplotlib.
_STYLE: dict[Any, Any] = {
    "figure.dpi": 100,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": "#444a52",
    "axes.edgecolor": "#b4b9c0",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GREY,
    "grid.alpha": 0.22,
    "grid.linewidth": 0.6,
    "xtick.color": "#b4b9c0",
    "ytick.color": "#b4b9c0",
    "xtick.labelcolor": "#444a52",
    "ytick.labelcolor": "#444a52",
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "none",
    # Ids of an SVG are random without a salt.
    "svg.hashsalt": "mixvel",
}
# Laid out by the widths of DejaVu Sans, which comes with matplotlib; shown in the reader's own, narrower font.
_SHOWN_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"
_INCH = 96.0

LEGEND_WIDTH = 130.0
"""CSS pixels that an entry of a legend needs: more entries in a row would be cut off at the chart's sides."""

Item = TypeVar("Item")
Colour: TypeAlias = str | tuple[float, float, float, float]


def svg(draw: Callable[[Figure], None], width: float, height: float) -> str:
    """What ``draw`` draws into an empty figure of this size in CSS pixels, as a data URI. The style holds while it
    runs."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Names may be in any script; the browser has glyphs that the font of the layout lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width / _INCH, height / _INCH), layout="constrained")
        draw(figure)
        figure.savefig(buffer, format="svg", dpi=200, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().replace("'DejaVu Sans'", _SHOWN_FONT)
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def colour(index: int, count: int) -> Colour:
    """The colour of one of ``count`` experts or methods, the same in every chart of a page."""
    return _TEN[index] if count <= len(_TEN) else matplotlib.colormaps["turbo"]((index + 0.5) / count)


def literal(text: str) -> str:
    """Text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")


def wrapped(text: str, columns: int) -> str:
    """A title in lines of at most so many characters, each as it stands: names may be longer than a panel is wide. They
    break at spaces and hyphens, and else anywhere."""
    return literal(fill(text, columns))


def suit_scale(axes: Axes, y: Sequence[float]) -> None:
    """Makes the vertical axis logarithmic where the positive values on it span more than a factor of four."""
    if min(y) > 0 and max(y) > 4 * min(y):
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)


def plain_ticks(axis: Axis, text: Callable[[float], str] = "{:g}".format) -> None:
    """Gives a logarithmic axis the ticks 0.5, 1, 2, 5, 10, written as ``text`` does, instead of powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.set_minor_locator(NullLocator())


def time_axis(axes: Axes, end: float = 0.0) -> None:
    """Makes the horizontal axis time, from noise on the left to data on the right."""
    axes.set_xlim(1.0, end)
    axes.set_xlabel("t (1 noise, 0 data)")


def panels(
    items: Sequence[Item],
    draw: Callable[[Axes, Item], None],
    *,
    height: float,
    width: float = 330,
    columns: int = 3,
    legend_columns: int | None = None,
) -> str:
    """A chart with a panel for each of at least one item, as a data URI.

    Args:
        height: of a row of panels, in CSS pixels.
        width: of a panel, in CSS pixels.
        columns: the most panels in a row.
        legend_columns: at most, of one legend of all panels, below them; None for no such legend.
    """
    columns = min(columns, len(items))
    rows = -(-len(items) // columns)

    def draw_all(figure: Figure) -> None:
        found = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, item in zip(found, items, strict=False):
            draw(axes, item)
        for axes in found[len(items) :]:
            axes.set_axis_off()
        if legend_columns is not None:
            legend_of(figure, found, columns=min(legend_columns, int(full_width // LEGEND_WIDTH)))

    full_width = max(width * columns, 460)
    below = 0 if legend_columns is None else 40
    return svg(draw_all, width=full_width, height=height * rows + below)


def legend_of(figure: Figure, panels: Iterable[Axes], columns: int) -> None:
    """One legend of all that is drawn in several panels, below them all, in rows of at most ``columns``."""
    found: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        rows = -(-len(found) // columns)
        figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=-(-len(found) // rows))
