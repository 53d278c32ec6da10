"""Errors of selectors under guidance: the tables "Under guidance" of docs/benchmarks.md.

python tests/bench/guidance.py: exact conditional mixtures, K = 8 experts of two Gaussians each, one of either class, in
D = 16 on vp-cosine to delta = 0.05, three mixtures of 64 samples; M = M_null + w (M_c - M_null). Of the distances to
the exact ends (dopri5) the median and, after a stroke, the RMS of all 192 samples; in brackets the evaluations of a
sample. The row `mixture` has the distances themselves, all others their ratio to it. With ``--far`` the share of
samples that end farther than 1 from where they should, in per cent. ``--route shared``: M_null by the weights of the
condition. ``--low``, ``--high``: the interval of guidance. ``--routes``: how far the exact ends by both routes are
apart, and nothing else. ``--of-shards``: with a router that takes the moments of whole shards for guesses under the
condition, so that `cached` and `switching` do not evaluate every expert first.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from attrs import evolve, frozen
from torch import Tensor

from mixvel_core import build
from mixvel_core.field.guess import DiagonalGuess
from mixvel_core.protocols import Condition
from mixvel_core.recipe.grids import Grid
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.sampler import Sampler
from mixvel_guidance.guidance import ClassifierFree
from mixvel_oracles.labelled import LabelledRouter

if TYPE_CHECKING:
    from labelled import LabelledProblem

COUNT, DIMENSION, EXPERTS, DELTA, SEEDS = 64, 16, 8, 0.05, (0, 1, 2)
METHODS: Sequence[tuple[str, Grid]] = (("ddim", "uniform"), ("pc", "chebyshev"))
ROWS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("mixture", {}),
    ("cached", {}),
    ("cached", {"tolerance": 0.3}),
    ("switching", {}),
    ("iid", {}),
    ("sum-up", {}),
    ("nucleus", {}),
    ("top1", {}),
)


@frozen(kw_only=True, eq=False)
class GuessingOfShards:
    """The exact router, whose guesses are of whole shards, whatever the condition."""

    router: LabelledRouter

    @property
    def null(self) -> Condition:
        """As of the router."""
        return self.router.null

    def given(self, condition: Condition) -> GuessingOfShards:
        """Its weights under a condition."""
        return evolve(self, router=self.router.given(condition))

    def guess(self, x: Tensor) -> DiagonalGuess:
        """Of mean and variance of each shard."""
        moments = [m for one in self.router.experts if (m := one.moments) is not None]
        mean, variance = torch.stack([m.mean for m in moments]), torch.stack([m.variance for m in moments])
        return DiagonalGuess(mean=mean.to(x), variance=variance.to(x))

    def start(self, x: Tensor, t: Tensor) -> None:
        """No state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        """As of the router."""
        return self.router.weights(x, t, state)


@frozen(kw_only=True, eq=False)
class GuidedCase:
    """A mixture under one guidance: where samples of the classes 0 and 1 in turn should end."""

    problem: LabelledProblem
    guidance: ClassifierFree
    seed: int
    end: Tensor
    of_shards: bool = False

    def distances(self, selector: str, options: Mapping[str, Any], steps: int, method: tuple[str, Grid]) -> _Found:
        """Of the samples by a selector to their exact ends."""
        from labelled import classes

        router = self.problem.router
        made = Sampler(
            schedule=self.problem.schedule,
            experts=self.problem.experts,
            router=GuessingOfShards(router=router) if self.of_shards else router,
            selector=build("selector", selector, dict(options)),
            integrator=build("integrator", method[0]),
            steps=steps,
            grid=method[1],
            delta=DELTA,
            guidance=self.guidance,
        )
        draws = SampleDraws(seed=self.seed, index=torch.arange(COUNT))
        x = draws.noise((DIMENSION,), torch.float64)
        found, field = made.trajectory(x, draws, condition=classes(COUNT))
        return _Found(apart=(found - self.end).norm(dim=1), evaluations=field.evaluations.double())


@frozen(kw_only=True, eq=False)
class _Found:
    apart: Tensor
    evaluations: Tensor


def case(seed: int, guidance: ClassifierFree) -> GuidedCase:
    """The mixture of a seed; its flow is solved piece by piece where the guidance has an interval."""
    from labelled import classes, labelled

    problem = labelled(build("schedule", "vp-cosine"), experts=EXPERTS, dimension=DIMENSION, seed=seed)
    draws = SampleDraws(seed=seed, index=torch.arange(COUNT))
    x = draws.noise((DIMENSION,), torch.float64)
    ends = sorted({1.0, DELTA, *(one for one in (guidance.high, guidance.low) if DELTA < one < 1.0)}, reverse=True)
    for first, last in pairwise(ends):
        scale = guidance.at((first + last) / 2)
        piece = ClassifierFree(scale=scale, route=guidance.route)
        x = problem.guided_flow(x, classes(COUNT), piece, (first, last))
    return GuidedCase(problem=problem, guidance=guidance, seed=seed, end=x)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a Markdown table for each integrator and number of steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scales", type=float, nargs="*", default=[1.0, 2.0, 3.0, 7.5])
    parser.add_argument("--steps", type=int, nargs="*", default=[10, 20, 50])
    parser.add_argument("--selectors", nargs="*", default=[name for name, _ in ROWS])
    parser.add_argument("--route", choices=("own", "shared"), default="own")
    parser.add_argument("--low", type=float, default=0.0)
    parser.add_argument("--high", type=float, default=1.0)
    parser.add_argument("--far", action="store_true")
    parser.add_argument("--routes", action="store_true")
    parser.add_argument("--of-shards", action="store_true")
    given = parser.parse_args(arguments)
    # Its oracles are the tests' helpers, beside this folder.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
    torch.set_num_threads(1)
    guidances = [ClassifierFree(scale=w, low=given.low, high=given.high, route=given.route) for w in given.scales]
    if given.routes:
        routes([evolve(one, route=route) for one in guidances for route in ("own", "shared")])
        return
    cases = [[evolve(case(seed, one), of_shards=given.of_shards) for seed in SEEDS] for one in guidances]
    for method in METHODS:
        for steps in given.steps:
            print(f"\n| {method[0]}, {method[1]}, N={steps} | " + " | ".join(f"w = {w:g}" for w in given.scales) + " |")
            print("|---" * (len(given.scales) + 1) + "|")
            base: list[tuple[float, float]] = []
            for name, options in ROWS:
                if name not in given.selectors and name != "mixture":
                    continue
                found = [[one.distances(name, options, steps, method) for one in of_w] for of_w in cases]
                cells = [_measures(of_w) for of_w in found]
                base = base or [cell[:2] for cell in cells]
                label = f"`{name}`" + "".join(f", {key} {value:g}" for key, value in options.items())
                shown = [
                    _far(of_w) if given.far else _cell(cell, one, name)
                    for of_w, cell, one in zip(found, cells, base, strict=True)
                ]
                print(f"| {label} | " + " | ".join(shown) + " |", flush=True)


def routes(guidances: Sequence[ClassifierFree]) -> None:
    """Prints the distances of exact ends by both routes; ``guidances``: for each scale that of either."""
    print("| w | median | RMS | farther than 1, % |\n|---|---|---|---|")
    for own, shared in zip(guidances[::2], guidances[1::2], strict=True):
        apart = torch.cat([(case(seed, own).end - case(seed, shared).end).norm(dim=1) for seed in SEEDS])
        far = 100 * float((apart > 1.0).double().mean())
        print(
            f"| {own.scale:g} | {float(apart.median()):.2g} | {float(apart.square().mean().sqrt()):.2g} | {far:.1f} |"
        )


def _measures(found: Sequence[_Found]) -> tuple[float, float, float]:
    """Median, RMS and evaluations of all samples."""
    apart = torch.cat([one.apart for one in found])
    evaluations = torch.cat([one.evaluations for one in found]).mean()
    return float(apart.median()), float(apart.square().mean().sqrt()), float(evaluations)


def _cell(cell: tuple[float, float, float], base: tuple[float, float], name: str) -> str:
    median, rms = cell[:2] if name == "mixture" else (cell[0] / base[0], cell[1] / base[1])
    return (
        f"{median:.2g} / {rms:.2g} ({cell[2]:.0f})"
        if name == "mixture"
        else f"{median:.2f} / {rms:.2f} ({cell[2]:.0f})"
    )


def _far(found: Sequence[_Found]) -> str:
    return f"{100 * float((torch.cat([one.apart for one in found]) > 1.0).double().mean()):.1f}"


if __name__ == "__main__":
    main()
