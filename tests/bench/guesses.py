"""Selectors that remember, by the guess they extrapolate from: python tests/bench/guesses.py RUN [--scores COUNT].

`cached` and `switching`, one expert a step, `pc` on Chebyshev points, once with the guess of the run's router `moments`
and once with mean and variance of the shards alone. Path: median and RMS distance of 64 samples to the full mixture's
own solution at ``--fine`` steps, for each of three seeds. ``--scores``: the squared Frechet distance of that many
samples to the held-out items in the features of the run's metric `classifier`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from attrs import evolve, frozen
from samplers import Row, sampler, scorer_of
from torch import Tensor

from mixvel_core.pipeline.opened import open_run
from mixvel_core.pipeline.sample import Loaded
from mixvel_core.protocols import Router

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


def main() -> None:
    """Prints a line for each selector, guess and step count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, nargs="*", default=[10, 20])
    parser.add_argument("--fine", type=int, default=100)
    parser.add_argument("--scores", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    run = open_run(given.run)
    loaded = Loaded(run.models, run.recipe.sample)
    delta = run.recipe.sample.delta

    def made(name: str, steps: int, count: int, seed: int, *, plain: bool) -> Tensor:
        one = sampler(loaded, Row(name=name, selector=(name, {})), steps, delta)
        if plain:
            one = evolve(one, router=WithoutGuess(router=one.router))
        return one.sample(count=count, shape=loaded.shape, seed=seed, batch=count, device=loaded.device).x.float().cpu()

    ends = [made("mixture", given.fine, COUNT, seed, plain=False) for seed in SEEDS]
    scorer = scorer_of(run.recipe) if given.scores else None
    for steps in given.steps:
        for name in ("cached", "switching"):
            for plain in (True, False):
                found = []
                for seed, end in zip(SEEDS, ends, strict=True):
                    x = made(name, steps, given.scores or COUNT, seed, plain=plain)
                    path = (x[:COUNT] - end).flatten(1).double().norm(dim=1)
                    cell = f"{float(path.median()):.3f} / {float(path.square().mean().sqrt()):.3f}"
                    if scorer is not None:
                        scores = {s.name.split("-")[0]: s.value for s in scorer.scores(x.numpy())}
                        cell += f", {scores['frechet']:.2f} ({scores['balance']:.3f})"
                    found.append(cell)
                guess = "mean and variance" if plain else "the router's"
                print(f"| {name} | {steps} | {guess} | " + " | ".join(found) + " |", flush=True)


if __name__ == "__main__":
    main()
