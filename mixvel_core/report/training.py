"""Losses over training, on items trained on and held out: of experts, the monolith and the networks of routers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from attrs import frozen
from matplotlib.axes import Axes

from mixvel_core.pipeline.shared_experts import FOLDER
from mixvel_core.report.figures import GREY, colour, literal, panels, suit_scale, wrapped
from mixvel_core.report.inputs import Inputs
from mixvel_core.training.log import read_losses

HELD_OUT = "held_out"
"""The column of the loss on items that are held out (``training.held_out``, which needs torch)."""

MOST_NAMED = 16
"""Curves in one panel that a legend sets apart."""
WINDOW = 20
"""The bold curve is a running mean over this part, 1/20, of the recorded steps."""


@frozen(kw_only=True)
class LossCurve:
    """One recorded loss of one training, and the loss on its held-out items at the same steps, if it has any.

    ``changes``: steps after which it is another sum than before.
    """

    name: str
    steps: tuple[float, ...]
    values: tuple[float, ...]
    held_out: tuple[float, ...] = ()
    changes: tuple[float, ...] = ()

    def parts(self) -> list[slice]:
        """The records between changes: only within one of them can values be compared."""
        ends = [int(np.searchsorted(self.steps, step, side="right")) for step in self.changes]
        edges = sorted({0, *ends, len(self.steps)})
        return [slice(first, last) for first, last in pairwise(edges)]

    @property
    def late_change(self) -> float | None:
        """By what part the held-out loss changed over the last quarter of the steps; None without one, and where it
        became another sum there."""
        if len(self.held_out) < 4 or any(step > 0.75 * self.steps[-1] for step in self.changes):
            return None
        before = float(np.interp(0.75 * self.steps[-1], self.steps, self.held_out))
        return self.held_out[-1] / before - 1.0


@frozen(kw_only=True)
class LateChange:
    """Of the trainings of one panel: the mean, the least and the most of ``LossCurve.late_change``."""

    title: str
    mean: float
    least: float
    most: float


@frozen(kw_only=True)
class CurvesContent:
    """``untrained``: what has no losses because it is in closed form or fixed. ``redefined``: trainings whose loss is
    another sum from some step on."""

    chart: str
    trainings: tuple[str, ...]
    untrained: tuple[str, ...]
    late_changes: tuple[LateChange, ...]
    redefined: tuple[str, ...]


def curves(inputs: Inputs) -> CurvesContent | None:
    """A panel each for experts, monolith and routers; None where nothing was trained."""
    found = dict(_panels(inputs))
    trained = {title: lines for title, lines in found.items() if lines}
    if not trained:
        return None
    return CurvesContent(
        chart=panels(list(trained.items()), _panel, height=280),
        trainings=tuple(trained),
        untrained=tuple(title for title in found if title not in trained),
        late_changes=tuple(_late_changes(trained)),
        redefined=tuple(title for title, lines in trained.items() if any(line.changes for line in lines)),
    )


def _late_changes(panels: Mapping[str, list[LossCurve]]) -> Iterator[LateChange]:
    for title, lines in panels.items():
        changes = [change for line in lines if (change := line.late_change) is not None]
        if changes:
            yield LateChange(title=title, mean=sum(changes) / len(changes), least=min(changes), most=max(changes))


def _panels(inputs: Inputs) -> Iterator[tuple[str, list[LossCurve]]]:
    folder = inputs.folder
    experts = {f"expert {part.index}": folder / "experts" / str(part.index) for part in inputs.shards.parts}
    if inputs.recipe.expert.is_shared:
        experts = {"all experts": folder / "experts" / FOLDER}
    yield "experts", _curves(experts, inputs.recipe.expert.loss_changes)
    if inputs.recipe.monolith is not None:
        yield "monolith", _curves({"monolith": folder / "monolith"}, inputs.recipe.monolith.loss_changes)
    for name, use in inputs.recipe.routers.items():
        logs = sorted((folder / "routers" / name).glob("*/losses.csv"))
        yield f"router {name}", _curves({log.parent.name: log.parent for log in logs}, use.loss_changes)


def _curves(folders: Mapping[str, Path], changes: Sequence[float]) -> list[LossCurve]:
    """``changes``: of the loss, as parts of a training."""
    made = []
    for name, folder in folders.items():
        columns = read_losses(folder / "losses.csv")
        steps = columns.pop("step", [])
        held_out = tuple(columns.pop(HELD_OUT, ()))
        # What is minimised may be recorded a second time by its name: one curve would hide the other.
        twins = [column for column, values in columns.items() if column != "loss" and values == columns["loss"]]
        for twin in twins:
            columns.pop(twin)
        for column, values in columns.items():
            label = ", ".join((name, *(twins if column == "loss" else [column])))
            held = held_out if column == "loss" else ()
            at = tuple(part * steps[-1] for part in changes) if column == "loss" and steps else ()
            curve = LossCurve(name=label, steps=tuple(steps), values=tuple(values), held_out=held, changes=at)
            made.append(curve)
    return [curve for curve in made if curve.values]


def _panel(axes: Axes, training: tuple[str, list[LossCurve]]) -> None:
    title, lines = training
    for i, line in enumerate(lines):
        tint = colour(i, len(lines))
        for part in line.parts():
            steps, values = line.steps[part], line.values[part]
            axes.plot(steps, values, color=tint, alpha=0.2, linewidth=0.8)
            label = literal(line.name) if part.start == 0 else None
            axes.plot(steps, running_mean(np.array(values)), color=tint, label=label)
            if line.held_out:
                axes.plot(steps, line.held_out[part], color=tint, linestyle="--", linewidth=1.0)
    for step in sorted({step for line in lines for step in line.changes}):
        axes.axvline(step, color=GREY, linestyle=":", linewidth=1.1)
        # Across the top of the line, within the panel, whatever the scale of the losses.
        axes.text(
            step, 0.98, " another loss", transform=axes.get_xaxis_transform(), fontsize=7, color="#444a52", va="top"
        )
    suit_scale(axes, [value for line in lines for value in line.values])
    axes.set_title(wrapped(title, 34))
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss")
    if 1 < len(lines) <= MOST_NAMED:
        axes.legend(ncols=2 if len(lines) > 5 else 1, fontsize=7)


def running_mean(values: np.ndarray) -> np.ndarray:
    """The mean over the window that ends at each entry; over fewer entries at the start."""
    width = max(1, len(values) // WINDOW)
    total = np.concatenate([[0.0], np.cumsum(values)])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - width)
    return np.asarray((total[last] - total[first]) / (last - first))
