"""Errors of samplers on exact Gaussian mixtures: the tables "`pc` and `switching`" and "W_2" of docs/benchmarks.md.

python tests/bench/exact_mixtures.py [vp-cosine|vp-linear] ...: K = 8 components in D = 16, a uniform grid to
delta = 0.05, 128 samples. Each cell is the largest of three mixtures' median distances to the exact end. With
``--w2`` W_2 between samples and exact ends from the same noise, in D = 16 and, of 2000 samples, on the line; with
``--rms`` the root of their mean square distance there, the coupling that bounds W_2. With ``--two`` an expert has two
components, which one Gaussian of its moments does not guess.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from torch import Tensor

from mixvel_core import build
from mixvel_core.field.transport import sliced_squares, wasserstein_2
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
W2_ROWS: Sequence[tuple[str, str, Options]] = tuple(
    (selector, integrator, {}) for selector in ("iid", "switching", "mixture") for integrator in ("euler", "ddim", "pc")
)


def median(x: Tensor, end: Tensor) -> float:
    """The median distance of the samples to their own exact ends."""
    return float((x - end).norm(dim=1).median())


def rms(x: Tensor, end: Tensor) -> float:
    """The root of the mean square of those distances."""
    return float((x - end).square().sum(1).mean().sqrt())


def w2(x: Tensor, end: Tensor) -> float:
    """W_2 of the two sets; on the line from their quantiles."""
    if x.shape[1] == 1:
        return float(np.sqrt(sliced_squares(x.numpy(), end.numpy(), np.ones((1, 1)))[0]))
    return wasserstein_2(x.numpy(), end.numpy())


def main(names: Sequence[str]) -> None:
    """Prints a Markdown table for each schedule."""
    schedules = [name for name in names if not name.startswith("--")] or ["vp-cosine", "vp-linear"]
    components = 2 if "--two" in names else 1
    if "--rms" in names:
        table(schedules, W2_ROWS, rms, dimension=1, count=2000, components=components)
    elif "--w2" in names:
        table(schedules, W2_ROWS, w2, dimension=16, count=COUNT, components=components)
        table(schedules, W2_ROWS, w2, dimension=1, count=2000, components=components)
    else:
        table(schedules, ROWS, median, dimension=16, count=COUNT, components=components)


def table(
    names: Sequence[str],
    rows: Sequence[tuple[str, str, Options]],
    apart: Callable[[Tensor, Tensor], float],
    *,
    dimension: int,
    count: int,
    components: int,
) -> None:
    """Prints a table for each schedule: the largest of three mixtures' values of ``apart``."""
    # Its oracles are the tests' helpers, beside this folder.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
    from exact import exact

    for name in names:
        schedule: NoiseSchedule = build("schedule", name)
        problems = [
            exact(schedule, experts=8, dimension=dimension, seed=seed, components=components) for seed in range(3)
        ]
        ends = [problem.exact(count=count) for problem in problems]
        print(f"| {name}, D={dimension} | " + " | ".join(f"N={n}" for n in STEPS) + " | slope |")
        print("|---" * (len(STEPS) + 2) + "|")
        for selector, integrator, options in rows:
            pick: Selector = build("selector", selector)
            method: Integrator = build("integrator", integrator, options)
            errors = [
                max(
                    apart(problem.run(pick, method, n, count=count)[0], end)
                    for problem, end in zip(problems, ends, strict=True)
                )
                for n in STEPS
            ]
            slope = np.polyfit(np.log(STEPS[1:]), np.log(errors[1:]), 1)[0]
            orders = "".join(f" {value}" for value in options.values())
            print(f"| {selector} + {integrator}{orders} | " + " | ".join(f"{e:.2g}" for e in errors), end="")
            print(f" | {slope:.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
