"""Routers beside the exact posterior: python tests/bench/routers.py DATA [--row ROUTER ...] [key.path=value ...].

Mean total variation to the exact posterior of the training items (D2) along the exact flow (24 DDIM steps), by time,
as `mixvel_core.analysis.calibration` measures it. DATA is one of the names below, or a recipe's file; what follows
overrides the recipe, for example ``data.labels=[0,1,2]``. A row is a router as a recipe writes it, ``--row moments``
or ``--row "{use: moments, rank: 0}"``; a trained one is trained first, one network at a time. The row ``half`` is the
exact posterior of a random half of the items: what is left is about single items, which no router should learn. The
router ``experts`` observes exact experts; with ``--trained`` in place of ``--row`` it observes those of the recipe,
which are trained first, or with ``--run`` those of a finished run of the same data. The row ``exact`` is that router
with the exact second moments of the shards. Without rows it is the table of docs/benchmarks.md: every kind of router,
the a-network trained for ``--steps`` and the da-network for twice as many. With several ``--seeds`` a row is their
mean, with the standard deviation of the mean over time; points are the same. FLOPs are those of a router's networks at
one call, as a part of one evaluation of an expert.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from attrs import evolve, frozen
from torch import Tensor

from mixvel_core.analysis.calibration import BucketCalibration, measure
from mixvel_core.analysis.floor import half_of_items
from mixvel_core.cost.jobs import planned_jobs
from mixvel_core.field.class_posterior import ClassPosterior
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.jobs import make
from mixvel_core.pipeline.models import model_stages
from mixvel_core.pipeline.opened import open_run
from mixvel_core.pipeline.partition import partition, partition_artifact
from mixvel_core.pipeline.shards import Shards
from mixvel_core.pipeline.splits import split
from mixvel_core.protocols import Ask, Evaluations, Expert, NoiseSchedule, Router
from mixvel_core.protocols.progress import SILENT
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import load_recipe
from mixvel_oracles.denoisers import EmpiricalExpert
from mixvel_routers.experts import ExpertsFamily, ExpertsRouter, Integration

ROOT = Path(__file__).resolve().parents[2]
HALF, EXACT = "half", "exact"
BY_ANSWERS = ("experts", "{use: experts, second_moment: probe}")
"""The rows of the table that observe experts: exact ones, and those of the recipe."""
SIDE, PLACES, EACH = 16, 8, 400
"""Of the patches: their size, the shards, and the items of one."""


def digits_mod_3(folder: Path) -> list[str]:
    """scikit-learn's digits, in three shards by the remainder of the digit."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    items = (bunch.images[:, None] / 8.0 - 1.0).astype(np.float32)
    return _numpy_data(folder, items, bunch.target % 3)


def patches(folder: Path) -> list[str]:
    """Patches of 16 x 16 x 3 of scikit-learn's two photographs, in eight shards by place: four strips of each."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    items, labels = [], []
    for p, photograph in enumerate(load_sample_images().images):
        strips = np.array_split(np.arange(photograph.shape[1]), PLACES // 2)
        for place, columns in enumerate(strips):
            for _ in range(EACH):
                row = rng.integers(photograph.shape[0] - SIDE + 1)
                column = columns[0] + rng.integers(len(columns) - SIDE + 1)
                items.append(photograph[row : row + SIDE, column : column + SIDE].transpose(2, 0, 1))
                labels.append(p * len(strips) + place)
    return _numpy_data(folder, np.stack(items), np.array(labels))


def _numpy_data(folder: Path, items: np.ndarray, labels: np.ndarray) -> list[str]:
    path = folder / "data.npz"
    np.savez(path, items=items, labels=labels.astype(np.int64))
    return [f"data={{use: numpy, path: '{path}', labels: labels}}"]


_FASHION = "data={use: fashion-mnist, size: 14, pad: 16}"
DATA: dict[str, Callable[[Path], list[str]]] = {
    "digits": lambda folder: [],
    "digits-mod-3": digits_mod_3,
    "patches": patches,
    "fashion": lambda folder: [_FASHION],
    "fashion-kmeans": lambda folder: [_FASHION, "partition={use: kmeans, shards: 8, pca: 32}"],
}
"""Overrides of recipes/digits.yaml; a folder for files that have to be made."""


@frozen(kw_only=True, eq=False)
class ExactSecondMoments(ExpertsRouter):
    """The router ``experts`` with tr Cov_k of the ``shards``, each (n, D) float64, by a sum over their items."""

    shards: tuple[Tensor, ...]

    def second_moments(self, x: Tensor, t: Tensor, answers: Evaluations, ask: Ask, state: Integration) -> Tensor:
        """E|x_0|^2 - |E x_0|^2 given x, for each answer, (E,)."""
        p, flat = self.schedule.at(t.double()), x.flatten(1).double()
        found = torch.empty(len(x), len(self.shards), dtype=torch.float64)
        for k, items in enumerate(self.shards):
            far = torch.cdist(flat, p.alpha[0] * items, compute_mode="donot_use_mm_for_euclid_dist").square()
            w = (-0.5 * far / p.sigma[0] ** 2).softmax(1)
            found[:, k] = w @ (items * items).sum(1) - (w @ items).square().sum(1)
        return found[answers.sample, answers.expert]


def with_exact_second_moments(shards: Shards, schedule: NoiseSchedule) -> Router:
    """`experts` without the shards' Gaussians and with nothing estimated."""
    return ExactSecondMoments(
        log_pi=torch.tensor(shards.fractions, dtype=torch.float64).log(),
        gaussians=None,
        schedule=schedule,
        options=ExpertsFamily(prior="none", second_moment="probe", freeze=0.0),
        shards=tuple(torch.from_numpy(to_float(part.items[:])).double().flatten(1) for part in shards.parts),
    )


def all_rows(steps: int) -> list[str]:
    """Every kind of router: without training, then networks of channels 16, 32, then by the experts' answers."""
    network = "channels: [16, 32], train: {steps: %d}"
    a, da = network % steps, network % (2 * steps)
    return [
        "fixed",
        "{use: moments, rank: 0}",
        "{use: moments, rank: 8}",
        "{use: moments, rank: 16}",
        "{use: moments, components: 8}",
        f"{{use: a-network, stride: 1, {a}}}",
        f"{{use: a-network, stride: 2, {a}}}",
        f"{{use: da-network, stride: 1, {da}}}",
        f"{{use: da-network, correct: network, stride: 1, {da}}}",
        *BY_ANSWERS,
        HALF,
    ]


def routers_of(
    recipe: Recipe, shards: Shards, folder: Path, rows: Sequence[str]
) -> Iterator[tuple[str, Router, float]]:
    """Each row's router, made in the run folder ``folder``, and the seconds that took."""
    stages = model_stages(recipe, folder, shards).routers
    for place, row in enumerate(rows):
        started = time.perf_counter()
        if row == HALF:
            router: Router = half_of_items(shards, recipe.schedule.build(), recipe.seed)
        elif row == EXACT:
            router = with_exact_second_moments(shards, recipe.schedule.build())
        else:
            stage = stages[f"r{place}"]
            make(stage.training_jobs(), recipe.launcher, SILENT)
            router = stage.result.load()
        yield row, router, time.perf_counter() - started


def exact_experts(shards: Shards, schedule: NoiseSchedule) -> list[Expert]:
    """The denoisers of the shards' items (D2)."""
    items = [torch.from_numpy(to_float(part.items[:])) for part in shards.parts]
    return [EmpiricalExpert(schedule=schedule, items=one) for one in items]


def trained_experts(recipe: Recipe, folder: Path, shards: Shards, run: Path | None) -> list[Expert]:
    """The experts of a finished run, or those of the recipe, made in the run folder ``folder``."""
    if run is not None:
        return [one.load() for one in open_run(run).models.experts]
    stages = model_stages(recipe, folder, shards)
    make(stages.expert_jobs(), recipe.launcher, SILENT)
    return [stage.result.load() for stage in stages.experts]


def costs(recipe: Recipe, folder: Path, shards: Shards) -> dict[str, float]:
    """FLOPs of each router's networks at one call, over those of an expert; of those that can be counted."""
    networks = {job.group: job.network for job in planned_jobs(recipe, folder, shards.parts)}
    expert = networks.get("experts")
    return {
        name: network.forward * use.networks_a_step / expert.forward
        for name, use in recipe.routers.items()
        if expert is not None and (network := networks.get(f"router {name}")) is not None
    }


def table(
    recipe: Recipe,
    folder: Path,
    rows: Sequence[str],
    trained: Sequence[str],
    points: int,
    run: Path | None,
    seeds: Sequence[int],
) -> Iterator[dict[str, object]]:
    """A line for each row: mean and buckets, data first. Those of ``trained`` observe trained experts."""
    torch.set_num_threads(1)
    schedule = recipe.schedule.build()
    if recipe.data is None:
        raise SystemExit("the recipe has no data")
    made = split(recipe.data, recipe.partition, recipe.seed)
    shards = partition(made, partition_artifact(recipe, folder), SILENT)
    engine = ClassPosterior(parts=([part.items for part in shards.parts],))
    items, cost = shards.as_one.items, costs(recipe, folder, shards)
    folders = {seed: folder / f"seed-{seed}" for seed in seeds}
    recipes = {seed: evolve(recipe, seed=seed) for seed in seeds}
    exact = exact_experts(shards, schedule)
    experts = {seed: [exact] * len(rows) for seed in seeds}
    if trained:
        for seed in seeds:
            answering = trained_experts(recipes[seed], folders[seed], shards, run)
            experts[seed] += [answering] * len(trained)
    made_by_seed = [routers_of(recipes[seed], shards, folders[seed], [*rows, *trained]) for seed in seeds]
    for place, of_seeds in enumerate(zip(*made_by_seed, strict=True)):
        row, found = of_seeds[0][0], []
        for seed, (_, router, _) in zip(seeds, of_seeds, strict=True):
            with torch.inference_mode():
                seen = measure(
                    {row: router},
                    schedule,
                    engine,
                    items,
                    recipe.seed,
                    points,
                    torch.device("cpu"),
                    experts[seed][place],
                )[row]
            found.append([one for one in seen if one.points == "flow"])
        seconds = round(float(np.mean([seconds for _, _, seconds in of_seeds])), 2)
        named = row if place < len(rows) else f"{row}, trained experts"
        yield {"row": named, "flops": cost.get(f"r{place}", 0.0), "seconds": seconds, **summary(found)}


def summary(found: Sequence[Sequence[BucketCalibration]]) -> dict[str, object]:
    """The mean total variation of one router over all buckets, and in each; means over seeds, and their deviation."""
    tv = np.array([[one.total_variation for one in seed] for seed in found])
    means = tv.mean(1)
    return {
        "tv": round(float(means.mean()), 4),
        "sd": round(float(means.std(ddof=1)), 4) if len(means) > 1 else None,
        "buckets": [round(float(value), 4) for value in tv.mean(0)],
    }


def main() -> None:
    """Prints a Markdown table, and JSON lines into ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help=f"{', '.join(DATA)}, or a recipe's file")
    parser.add_argument("--row", action="append", dest="rows", help="a router that observes exact experts, if any")
    parser.add_argument("--trained", action="append", help="a router that observes trained ones")
    parser.add_argument("--run", type=Path, help="whose experts those are; absent: the recipe's, trained first")
    parser.add_argument("--steps", type=int, default=400, help="of the a-network in the table of all routers")
    parser.add_argument("--points", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_intermixed_args()
    rows, trained = given.rows or [], given.trained or []
    if not rows and not trained:
        rows, trained = all_rows(given.steps), list(BY_ANSWERS)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made = DATA[given.data](folder) if given.data in DATA else []
        path = ROOT / "recipes" / "digits.yaml" if given.data in DATA else Path(given.data)
        routers = [f"r{i}: {row}" for i, row in enumerate([*rows, *trained]) if row not in (HALF, EXACT)]
        # The recipe's methods name its own routers.
        named = [f"routers={{{', '.join(routers or ['none: fixed'])}}}", "sample.methods={one: {}}"]
        recipe = load_recipe(path, [*made, "launcher={use: local, threads: 1}", *named, *given.overrides])
        recipe = evolve(recipe, monolith=None)
        print(f"| {given.data} | FLOPs | made in s | mean | by time, data first |\n|---|---|---|---|---|")
        for line in table(recipe, folder / "run", rows, trained, given.points, given.run, given.seeds):
            buckets = line["buckets"]
            cells = " ".join(f"{value:.3f}" for value in buckets) if isinstance(buckets, list) else ""
            mean = f"{line['tv']}" + (f" ± {line['sd']}" if line["sd"] is not None else "")
            print(
                f"| {line['row']} | {100 * float(str(line['flops'])):.1f} % | {line['seconds']} | {mean} | {cells} |",
                flush=True,
            )
            if given.out is not None:
                with given.out.open("a") as file:
                    file.write(json.dumps({"data": given.data, "points": given.points, **line}) + "\n")


if __name__ == "__main__":
    main()
