"""Errors at one expert a step by schedule, K and Gaussians an expert: the tables "One expert a step" of
docs/benchmarks.md.

python tests/bench/one_a_step.py: exact mixtures in D = 16, a uniform grid to delta = 0.05, one mixture and 64 samples a
row. Medians of the distances to the exact ends at N = 20, 40, 80 and the slope of their logarithms. With ``--ratios``
those of `cached` over those of the full mixture, both by 2m, where experts are single Gaussians. With ``--angle`` the
grid is uniform in the angle, as it is in any case on vp-cosine.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from mixvel_core import build
from mixvel_core.protocols import Integrator, Selector
from mixvel_core.recipe.grids import Grid

if TYPE_CHECKING:
    from exact import Exact

COUNT, STEPS = 64, (20, 40, 80)
METHODS: Sequence[tuple[str, str]] = (("iid", "pc"), ("cached", "2m"), ("cached", "pc"), ("switching", "pc"))
CELLS: Sequence[tuple[str, int, int]] = tuple(
    (name, experts, components)
    for components in (1, 2)
    for name in ("vp-cosine", "vp-linear", "rectified")
    for experts in (4, 8, 16, 64)
)
"""Schedule, K, Gaussians an expert."""


RATIOS: Sequence[Mapping[str, float]] = ({}, {"tolerance": 0.3})
"""Options of `cached`."""


def main(arguments: Sequence[str]) -> None:
    """Prints a row of a Markdown table for each cell."""
    # Its oracles are the tests' helpers, beside this folder.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
    from exact import exact

    of_ratios = "--ratios" in arguments
    grid: Grid = "angle" if "--angle" in arguments else "uniform"
    heads = [f"cached {label}N={n}" for label in ("", "tolerance=0.3, ") for n in STEPS]
    heads = heads if of_ratios else [f"{selector} + {integrator}" for selector, integrator in METHODS]
    print("| schedule | K | Gaussians | " + " | ".join(heads) + " |")
    print("|---" * (3 + len(heads)) + "|")
    for name, experts, components in CELLS:
        if of_ratios and components > 1:
            continue
        problem = exact(build("schedule", name), experts=experts, dimension=16, components=components)
        end = problem.exact(count=COUNT)
        found = ratios(problem, end, grid) if of_ratios else errors_and_slopes(problem, end, grid)
        print(f"| {name} | {experts} | {components} | " + " | ".join(found) + " |", flush=True)


def errors_and_slopes(problem: Exact, end: Tensor, grid: Grid) -> list[str]:
    """A cell for each of the methods."""
    found = []
    for selector, integrator in METHODS:
        errors = [error(problem, end, build("selector", selector), integrator, n, grid)[0] for n in STEPS]
        slope = np.polyfit(np.log(STEPS), np.log(errors), 1)[0]
        found.append(" / ".join(f"{e:.2g}" for e in errors) + f" ({slope:.1f})")
    return found


def ratios(problem: Exact, end: Tensor, grid: Grid) -> list[str]:
    """A cell for each of the options and step counts: the ratio, and the evaluations of a sample."""
    of_mixture = [error(problem, end, build("selector", "mixture"), "2m", n, grid)[0] for n in STEPS]
    found = []
    for options in RATIOS:
        for n, base in zip(STEPS, of_mixture, strict=True):
            value, evaluations = error(problem, end, build("selector", "cached", options), "2m", n, grid)
            found.append(f"{value / base:.2f} ({evaluations:.0f})")
    return found


def error(
    problem: Exact, end: Tensor, selector: Selector, integrator: str, steps: int, grid: Grid
) -> tuple[float, float]:
    """The median distance to the exact ends, and the mean number of evaluations of a sample."""
    method: Integrator = build("integrator", integrator)
    x, field = problem.sampler(selector, method, steps, 0.05, grid).trajectory(*problem.start(COUNT))
    return float((x - end).norm(dim=1).median()), float(field.evaluations.double().mean())


if __name__ == "__main__":
    main(sys.argv[1:])
