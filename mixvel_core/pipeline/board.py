"""Scores in TensorBoard: for each metric a chart of score against steps, a curve for each method."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from mixvel_core.pipeline.scores import Scores

PLACE = "tensorboard/scores"
LONGEST = 80
"""Characters of a method's name in that of a folder."""


def show_scores(scores: Scores, run: Path) -> None:
    """Writes the means over seeds below ``tensorboard/scores`` of the run folder, in the place of earlier ones: where
    there are event files, and so somebody who may look at them; not in a run that trained nothing.

    Raises ArtifactError where it cannot be written.
    """
    from mixvel_core.training.events import EventFile

    if not (run / PLACE).parent.exists():
        return
    shutil.rmtree(run / PLACE, ignore_errors=True)
    for number, (method, means) in enumerate(_means(scores).items()):
        # A method may be called anything; a folder may not.
        name = re.sub(r"[^\w.,=() -]", "_", method)[:LONGEST].strip(" .")
        file = EventFile(run / PLACE / f"{number:02d} {name}", -1)
        try:
            for steps, values in sorted(means.items()):
                file.write(steps, values)
        finally:
            file.close()


def _means(scores: Scores) -> Mapping[str, Mapping[int, Mapping[str, float]]]:
    """Of each method, at each step count, the mean of each metric; of several conditions, the last one's."""
    found: dict[tuple[str, int, str, tuple[tuple[str, str], ...]], list[float]] = defaultdict(list)
    for row in scores.rows:
        conditions = tuple(row["conditions"].items())
        found[row["method"], row["steps"], row["metric"], conditions].append(row["value"])
    made: dict[str, dict[int, dict[str, float]]] = {}
    for (method, steps, metric, _), values in found.items():
        made.setdefault(method, {}).setdefault(steps, {})[metric] = fmean(values)
    return made
