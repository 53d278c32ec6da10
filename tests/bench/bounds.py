"""Bounds of the theory beside what is measured: the tables of docs/theory/bounds.md and docs/theory/switching.md.

python tests/bench/bounds.py: Euler on six random points in the plane (K = 3, exact experts, delta = 0.2, 400 starting
points of N(0, I)). The root of the mean square error at the end and the largest mean square of xi_n, each beside its
sharp bound and the paper's; then the bounds alone for data of real size. Seconds.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mixvel_core import build
from mixvel_core.protocols import NoiseSchedule, Selector
from mixvel_core.theory.bound import Bound
from mixvel_core.theory.problem import BoundProblem
from mixvel_core.theory.table import BoundTable, bounds_of

K, D, DELTA, COUNT = 3, 2, 0.2, 400
PROBLEMS: Sequence[tuple[str, float]] = (
    ("vp-linear", 0.25),
    ("vp-linear", 1.0),
    ("vp-cosine", 0.5),
    ("vp-cosine", 1.0),
)
STEPS, MANY = (20, 1280), 20480
"""``MANY``: steps for which the bounds alone are computed."""
SELECTORS: Mapping[str, str] = {
    "iid": "W_2 sampling",
    "sum-up": "W_2 sampling, sum-up",
    "switching": "W_2 sampling, switching",
    "mixture": "W_2 sampling, mixture",
}
LARGE: Mapping[str, tuple[str, float, int, float]] = {
    "digits": ("vp-cosine", 8.0, 64, 0.05),
    "CIFAR-10": ("vp-linear", 55.0, 3072, 0.001),
}
"""Schedule, R, D and delta, at N = 100."""


def main() -> None:
    """Prints the Markdown tables."""
    head = [f"{name}: {what}" for name in SELECTORS for what in ("measured", "sharp", "paper")]
    print("| schedule, R | N | " + " | ".join([*head, "C_sig of switching: measured", "sharp"]) + " |")
    print("|---" * (4 + len(head)) + "|")
    for name, radius in PROBLEMS:
        schedule: NoiseSchedule = build("schedule", name)
        for steps in (*STEPS, MANY):
            table = bounds_of(BoundProblem(schedule=schedule, R=radius, D=D, K=K, delta=DELTA, steps=steps))
            errors = {} if steps == MANY else measured(schedule, radius, steps)
            cells = [
                cell
                for selector, bound in SELECTORS.items()
                for cell in (number(errors.get(selector)), *bounds(table[bound]))
            ]
            cells += [number(errors.get("C_sig")), bounds(table["C_sig, switching"])[0]]
            print(f"| {name}, {radius:g} | {steps} | " + " | ".join(cells) + " |", flush=True)
    print("\n| N = 100 | " + " | ".join(f"{what}: {whose}" for what in HEADS for whose in ("sharp", "paper")) + " |")
    print("|---" * (1 + 2 * len(HEADS)) + "|")
    for data, (name, radius, dimension, delta) in LARGE.items():
        problem = BoundProblem(schedule=build("schedule", name), R=radius, D=dimension, K=10, delta=delta, steps=100)
        print(f"| {data} | " + " | ".join(large(bounds_of(problem))) + " |")


HEADS = ("W_2 sampling", "W_2 prior")


def measured(schedule: NoiseSchedule, radius: float, steps: int) -> dict[str, float]:
    """Roots of mean square errors by selector, and as ``C_sig`` the largest E norm(xi_n)^2 of ``switching``."""
    # Its referee is the tests' helper, beside this folder.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
    from discrete import flow, random_discrete, sampled

    data = random_discrete(schedule, dimension=D, count=2 * K, experts=K, radius=radius, seed=0)
    x = torch.randn(COUNT, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    times = torch.linspace(1.0, DELTA, steps + 1, dtype=torch.float64)
    end = flow(data, x, times)[-1]
    found = {}
    for name in SELECTORS:
        selector: Selector = build("selector", name)
        points, noise = sampled(data, selector, x, times)
        found[name] = mean_square(points[-1] - end) ** 0.5
        if name == "switching":
            found["C_sig"] = max(map(mean_square, noise))
    return found


def mean_square(difference: Tensor) -> float:
    """Of the norms of B vectors, (B, D)."""
    return float(difference.square().sum(1).mean())


def bounds(bound: Bound) -> tuple[str, str]:
    """The sharp one and the paper's."""
    return power(bound.sharp_log10), power(bound.paper_log10)


def large(table: BoundTable) -> list[str]:
    """Cells of the table without measurements."""
    return [cell for name in HEADS for cell in bounds(table[name])]


def power(log10: float | None) -> str:
    """A number by its logarithm."""
    if log10 is None:
        return ""
    if log10 == -math.inf:
        return "0"
    if abs(log10) < 6:
        return number(10**log10)
    return f"10^{log10:.0f}" if log10 < 1e6 else f"10^({log10:.2g})"


def number(value: float | None) -> str:
    """Three digits; nothing for what was not measured."""
    return "" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main()
