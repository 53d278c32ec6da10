"""Errors of samplers on exact Gaussian mixtures: the table "`pc` and `switching`" of docs/benchmarks.md.

python tests/bench/exact_mixtures.py [vp-cosine|vp-linear] ...: K = 8 components in D = 16, a uniform grid to
delta = 0.05, 128 samples. Each cell is the largest of three mixtures' median distances to the exact end.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from mixvel_core import build
from mixvel_core.protocols import Integrator, NoiseSchedule, Selector

Options: TypeAlias = Mapping[str, int]

COUNT, STEPS = 128, (10, 20, 40, 80, 160)
ROWS: Sequence[tuple[str, str, Options]] = (
    ("iid", "ddim", {}),
    ("iid", "pc", {}),
    ("switching", "pc", {}),
    ("cached", "2m", {}),
    ("cached", "pc", {}),
    ("mixture", "2m", {}),
    ("mixture", "pc", {}),
    ("mixture", "pc", {"predictor": 3, "corrector": 3}),
)


def main() -> None:
    """Prints a Markdown table for each schedule."""
    # Its oracles are the tests' helpers, beside this folder.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
    from exact import exact

    for name in sys.argv[1:] or ("vp-cosine", "vp-linear"):
        schedule: NoiseSchedule = build("schedule", name)
        problems = [exact(schedule, experts=8, dimension=16, seed=seed) for seed in range(3)]
        ends = [problem.exact(count=COUNT) for problem in problems]
        print(f"| {name} | " + " | ".join(f"N={n}" for n in STEPS) + " | slope |")
        print("|---" * (len(STEPS) + 2) + "|")
        for selector, integrator, options in ROWS:
            pick: Selector = build("selector", selector)
            method: Integrator = build("integrator", integrator, options)
            errors = [
                max(
                    float((problem.run(pick, method, n, count=COUNT)[0] - end).norm(dim=1).median())
                    for problem, end in zip(problems, ends, strict=True)
                )
                for n in STEPS
            ]
            slope = np.polyfit(np.log(STEPS[1:]), np.log(errors[1:]), 1)[0]
            orders = "".join(f" {value}" for value in options.values())
            print(f"| {selector} + {integrator}{orders} | " + " | ".join(f"{e:.2g}" for e in errors), end="")
            print(f" | {slope:.2f} |", flush=True)


if __name__ == "__main__":
    main()
