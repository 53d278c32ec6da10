"""Path errors of integrators and grids on the networks of a trained run: python tests/bench/integrators.py RUN FOLDER.

The full mixture, 64 samples: the median distance to the end of its own ODE (dopri5, 1e-5) for each of three seeds of
noise (one at N = 50), as JSON lines in FOLDER/rows.jsonl. The ends of dopri5 are kept in FOLDER.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from attrs import evolve
from torch import Tensor

from mixvel_core import Sampler, build
from mixvel_core.pipeline.opened import open_run
from mixvel_core.recipe.grids import Grid
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.ode import reference

Options: TypeAlias = Mapping[str, int]

COUNT, BLOCK, TOLERANCE = 64, 32, 1e-5
SEEDS: Mapping[int, Sequence[int]] = {10: (0, 1, 2), 20: (0, 1, 2), 50: (0,)}
GRIDS: Sequence[Grid] = ("angle-quadratic", "chebyshev", "uniform", "logsnr")
INTEGRATORS: Sequence[tuple[str, Options]] = (
    ("pc", {}),
    ("2m", {}),
    ("unipc", {}),
    ("ddim", {}),
    ("3m", {}),
    ("deis", {}),
    ("ipndm", {}),
    ("pc", {"predictor": 3, "corrector": 3}),
    ("heun", {}),
)


def noise(sampler: Sampler, seed: int) -> tuple[Tensor, SampleDraws]:
    """The starting points of a seed."""
    draws = SampleDraws(seed=seed, index=torch.arange(COUNT))
    return draws.noise(sampler.shape or (), torch.float64), draws


def end(sampler: Sampler, seed: int, folder: Path) -> Tensor:
    """Where dopri5 takes them."""
    path = folder / f"ref-{seed}.pt"
    if not path.exists():
        blocks = [
            reference(
                x,
                schedule=sampler.schedule,
                experts=sampler.experts,
                router=sampler.router,
                delta=sampler.delta,
                rtol=TOLERANCE,
                atol=TOLERANCE,
            )
            for x in torch.split(noise(sampler, seed)[0], BLOCK)
        ]
        torch.save(torch.cat(blocks), path)
    found: Tensor = torch.load(path)
    return found


def main() -> None:
    """Writes a line for each grid, integrator and step count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.folder.mkdir(exist_ok=True)
    base = open_run(given.run).sampler(selector="mixture")
    with (given.folder / "rows.jsonl").open("a") as file:
        for steps, seeds in SEEDS.items():
            for grid in GRIDS:
                for name, options in INTEGRATORS:
                    one = evolve(base, integrator=build("integrator", name, options), grid=grid, steps=steps)
                    errors = []
                    for seed in seeds:
                        x, _ = one.trajectory(*noise(base, seed))
                        distance = (x - end(base, seed, given.folder)).flatten(1).norm(dim=1)
                        errors.append(float(distance.median()))
                    row = {"steps": steps, "grid": grid, "integrator": name, **options, "medians": errors}
                    file.write(json.dumps(row) + "\n")
                    file.flush()


if __name__ == "__main__":
    main()
