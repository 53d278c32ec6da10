"""Errors at one expert a step by schedule, K and Gaussians an expert: the table "One expert a step" of
docs/benchmarks.md.

python tests/bench/one_a_step.py: exact mixtures in D = 16, a uniform grid to delta = 0.05, one mixture and 64 samples a
row. Medians of the distances to the exact ends at N = 20, 40, 80 and the slope of their logarithms.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixvel_core import build
from mixvel_core.protocols import Integrator, Selector

COUNT, STEPS = 64, (20, 40, 80)
METHODS: Sequence[tuple[str, str]] = (("iid", "pc"), ("cached", "2m"), ("cached", "pc"), ("switching", "pc"))
CELLS: Sequence[tuple[str, int, int]] = (
    ("vp-cosine", 8, 2),
    ("vp-cosine", 16, 2),
    *((name, experts, 1) for name in ("vp-cosine", "vp-linear", "rectified") for experts in (4, 8, 16, 64)),
)
"""Schedule, K, Gaussians an expert."""


def main() -> None:
    """Prints a row of a Markdown table for each cell."""
    # Its oracles are the tests' helpers, beside this folder.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
    from exact import exact

    print("| schedule | K | Gaussians | " + " | ".join(f"{s} + {i}" for s, i in METHODS) + " |")
    print("|---" * (3 + len(METHODS)) + "|")
    for name, experts, components in CELLS:
        problem = exact(build("schedule", name), experts=experts, dimension=16, components=components)
        end = problem.exact(count=COUNT)
        found = []
        for selector, integrator in METHODS:
            pick: Selector = build("selector", selector)
            method: Integrator = build("integrator", integrator)
            errors = [float((problem.run(pick, method, n, count=COUNT)[0] - end).norm(dim=1).median()) for n in STEPS]
            slope = np.polyfit(np.log(STEPS), np.log(errors), 1)[0]
            found.append(" / ".join(f"{e:.2g}" for e in errors) + f" ({slope:.1f})")
        print(f"| {name} | {experts} | {components} | " + " | ".join(found) + " |", flush=True)


if __name__ == "__main__":
    main()
