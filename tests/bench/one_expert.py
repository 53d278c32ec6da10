"""Selectors that remember on the networks of a trained run: python tests/bench/one_expert.py RUN [--scores COUNT] ...

One expert a step, router `moments`, `pc` on Chebyshev points; with the guess of the router, or with mean and variance
of the shards alone. Path: median and RMS distance of 64 samples to the full mixture's own solution at ``--fine`` steps,
for each of three seeds. ``--scores``: the squared Frechet distance of so many samples to the held-out items in the
features of the run's metric `classifier`, and the balance of classes. ``--rows``: some rows only, by their names.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import evolve, field, frozen
from samplers import Row, sampler, scorer_of
from torch import Tensor

from mixvel_core.pipeline.loaded import Loaded
from mixvel_core.pipeline.opened import open_run
from mixvel_core.protocols import Router
from mixvel_core.sampling.weights import WeightTransform

COUNT, SEEDS = 64, (0, 1, 2)


@frozen(kw_only=True)
class WithoutGuess:
    """A router's weights, and nothing else of it."""

    router: Router

    def start(self, x: Tensor, t: Tensor) -> object:
        """As of the router."""
        return self.router.start(x, t)

    def weights(self, x: Tensor, t: Tensor, state: object) -> tuple[Tensor, object]:
        """As of the router."""
        return self.router.weights(x, t, state)


@frozen(kw_only=True)
class Rule:
    """A selector with its options, and what is done to the weights. ``plain``: mean and variance for a guess."""

    selector: str
    options: Mapping[str, Any] = field(factory=dict)
    weights: WeightTransform = field(factory=WeightTransform)
    plain: bool = False


TOP = WeightTransform(top=2, from_=0.5)
SOFT = WeightTransform(soft=3.0, from_=0.6)
ROWS: Mapping[str, Rule] = {
    "cached, mean and variance": Rule(selector="cached", plain=True),
    "cached": Rule(selector="cached"),
    "switching, mean and variance": Rule(selector="switching", plain=True),
    "switching": Rule(selector="switching"),
    "cached, feedback 0": Rule(selector="cached", options={"feedback": 0.0}),
    "cached, top 2 from 0.5": Rule(selector="cached", weights=TOP),
    "cached, soft 3 from 0.6": Rule(selector="cached", weights=SOFT),
    "switching, importance 2, mixing 0.2": Rule(selector="switching", options={"importance": 2.0, "mixing": 0.2}),
    "switching, top 2 from 0.5": Rule(selector="switching", weights=TOP),
    "switching, soft 3 from 0.6": Rule(selector="switching", weights=SOFT),
    "iid": Rule(selector="iid"),
}


def made(loaded: Loaded, rule: Rule, steps: int, count: int, seed: int, delta: float) -> Tensor:
    """Samples by a rule, (count, *data), on the CPU."""
    one = sampler(loaded, Row(name="", selector=(rule.selector, dict(rule.options))), steps, delta)
    one = evolve(one, weights=rule.weights)
    if rule.plain:
        one = evolve(one, router=WithoutGuess(router=one.router))
    return one.sample(count=count, shape=loaded.shape, seed=seed, batch=count, device=loaded.device).x.float().cpu()


def main(names: Sequence[str] | None = None) -> None:
    """Prints a row of a Markdown table for each rule and step count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, nargs="*", default=[6, 10, 20])
    parser.add_argument("--fine", type=int, default=100)
    parser.add_argument("--scores", type=int, default=0)
    parser.add_argument("--rows", nargs="*", default=list(ROWS))
    given = parser.parse_args(names)
    torch.set_num_threads(1)
    run = open_run(given.run)
    loaded = Loaded(run.models, run.recipe.sample)
    delta = run.recipe.sample.delta
    ends = [made(loaded, Rule(selector="mixture"), given.fine, COUNT, seed, delta) for seed in SEEDS]
    scorer = scorer_of(run.recipe) if given.scores else None
    for steps in given.steps:
        for name in given.rows:
            cells = []
            for seed, end in zip(SEEDS, ends, strict=True):
                x = made(loaded, ROWS[name], steps, given.scores or COUNT, seed, delta)
                path = (x[:COUNT] - end).flatten(1).double().norm(dim=1)
                cell = f"{float(path.median()):.3f} / {float(path.square().mean().sqrt()):.3f}"
                if scorer is not None:
                    scores = {s.name.split("-")[0]: s.value for s in scorer.scores(x.numpy())}
                    cell += f", {scores['frechet']:.2f} ({scores['balance']:.3f})"
                cells.append(cell)
            print(f"| {name} | {steps} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
