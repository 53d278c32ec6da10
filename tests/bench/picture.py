"""The picture of README.md: rows of a run's samples from the same noise: python tests/bench/picture.py RUN --out FILE.

Each row is METHOD:STEPS; beside it stand its expert evaluations a sample and its score, the mean over seeds of the
first metric of the run. The last row is real.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from mixvel_core.artifacts.arrays import read_arrays
from mixvel_core.data.pictures import grid
from mixvel_core.pipeline.opened import open_run


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("rows", nargs="+", help="METHOD:STEPS=LABEL")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=20)
    given = parser.parse_args()
    scores = json.loads((given.run / "scores.json").read_text())
    metric = scores["rows"][0]["metric"]
    strips: list[tuple[str, np.ndarray]] = []
    for row in given.rows:
        place, _, label = row.partition("=")
        method, _, steps = place.partition(":")
        found = [r for r in scores["rows"] if (r["method"], r["steps"], r["metric"]) == (method, int(steps), metric)]
        if not found:
            raise SystemExit(f"{given.run}: no scores of {method} at {steps} steps")
        [x] = read_arrays(given.run / "samples" / method / f"steps-{steps}-seed-0.npz", "x")
        about = f"{label or method}\n{found[0]['evaluations']:.0f} evaluations, {mean(r['value'] for r in found):.1f}"
        strips.append((about, x[: given.images]))
    shards = open_run(given.run).shards.parts
    real = np.stack(
        [shards[i % len(shards)].items[i // len(shards) : i // len(shards) + 1][0] for i in range(given.images)]
    )
    [floor] = [f["value"] for f in scores["floors"] if f["metric"] == metric]
    strips.append((f"real images\n{floor:.1f}", real))
    figure, axes = plt.subplots(len(strips), 1, figsize=(10, 0.56 * len(strips)), dpi=120)
    for ax, (label, images) in zip(axes, strips, strict=True):
        ax.imshow(np.asarray(grid(images, columns=given.images, scale=3)), cmap="gray", vmin=0, vmax=255)
        ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
        ax.set_xticks([])
        ax.set_yticks([])
    figure.subplots_adjust(left=0.2, right=0.995, top=0.995, bottom=0.005, hspace=0.06)
    figure.savefig(given.out)


if __name__ == "__main__":
    main()
