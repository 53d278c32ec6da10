"""(a) The GPU against the CPU: one recipe run on both, and the posterior engine against itself in float64.

Training and sampling are runs in processes of their own, so that nothing but the device differs: CUDA_VISIBLE_DEVICES
hides the GPU from one of them, and TF32 is off in both. Losses are compared step by step of two trainings; samples from
the same stored networks, those that the CPU trained.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from idx_arrays import images, labels
from ledger import Ledger
from work import RUN

from mixvel_core import build
from mixvel_core.field.posterior import PosteriorEngine

SELECTORS = {
    "mixture": "mixture",
    "iid": "iid",
    "sum-up": "sum-up",
    "nucleus": "nucleus",
    "cached": "cached",
    "cached-tolerance": "{use: cached, tolerance: 0.3}",
}
INTEGRATORS = ("ddim", "2m", "heun")

RECIPE = """\
name: equality
data: {{use: numpy, path: {data}, labels: labels}}
partition: labels
schedule: vp-cosine
expert:
  use: unet
  channels: {channels}
  prediction: v
  train: {{steps: {steps}, batch: 32, learning_rate: 1.0e-3, warmup: 5, log_every: 1}}
routers:
  a:
    use: a-network
    channels: {channels}
    train: {{steps: {steps}, batch: 32, learning_rate: 1.0e-3, warmup: 5, log_every: 1}}
sample:
  count: {count}
  steps: [8]
  delta: 0.01
  selector: iid
  integrator: ddim
  methods:
{methods}
evaluate:
  metrics: [sliced-w2]
launcher: local
"""


def equality(ledger: Ledger, data: Path, place: Path) -> None:
    """All of (a). ``data``: the folder of the IDX files. ``place``: where the runs go."""
    with ledger.guarded("posteriors"):
        _posteriors(ledger, data)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    recipe = _recipe(data, place, toy=ledger.toy)
    gpu = ledger.device.type == "cuda"
    _run(recipe, place / "cpu", gpu=False)
    ledger.say("trained and sampled on the CPU")
    # Without this the second run would find everything made: only its samples are to be drawn again.
    shutil.copytree(place / "cpu", place / "same-networks", ignore=shutil.ignore_patterns("samples"))
    _run(recipe, place / "same-networks", gpu=gpu)
    ledger.say(f"sampled on the {ledger.device.type} from the networks that the CPU trained")
    _samples(ledger, place)
    _run(recipe, place / "gpu", gpu=gpu)
    ledger.say(f"trained on the {ledger.device.type}")
    _losses(ledger, place)


def _recipe(data: Path, place: Path, *, toy: bool) -> Path:
    x, y = images(data), labels(data)
    chosen = np.concatenate([np.flatnonzero(y == k)[:100] for k in range(4)])
    x = x[chosen][:, :, ::2, ::2] if toy else x[chosen]
    np.savez(place / "items.npz", items=x, labels=y[chosen])
    methods = "".join(
        f"    {name}-{integrator}: {{selector: {selector}, integrator: {integrator}}}\n"
        for name, selector in SELECTORS.items()
        for integrator in INTEGRATORS
    )
    path = place / "equality.yaml"
    path.write_text(
        RECIPE.format(
            data=place / "items.npz",
            channels="[8, 16]" if toy else "[16, 32, 32]",
            steps=6 if toy else 20,
            count=8 if toy else 64,
            methods=methods,
        )
    )
    return path


def _run(recipe: Path, out: Path, *, gpu: bool) -> None:
    # cuDNN's convolutions use TF32 unless told otherwise, whatever torch's own switch for products says.
    environment = os.environ | {"NVIDIA_TF32_OVERRIDE": "0"} | ({} if gpu else {"CUDA_VISIBLE_DEVICES": ""})
    command = [sys.executable, "-c", RUN, str(recipe), str(out), "sample"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{out} ended with {done.returncode}:\n{done.stdout[-3000:]}")


def _samples(ledger: Ledger, place: Path) -> None:
    """Each row's samples on both devices.

    Where weights are compared with a threshold, rounding may turn a choice of an expert, and that sample goes another
    way from there on: one sample in 25 of a row may; the others have to agree to 2e-3, of values in [-1, 1].
    """
    for name in SELECTORS:
        for integrator in INTEGRATORS:
            row = f"{name}-{integrator}"
            one, other = (_row(place / run / "samples" / row) for run in ("cpu", "same-networks"))
            error = np.abs(one["x"] - other["x"]).reshape(len(one["x"]), -1).max(1)
            ledger.check(
                f"samples by {name}, {integrator}: 96th percentile of the largest difference",
                float(np.quantile(error, 0.96, method="lower")),
                2e-3,
                median=float(np.median(error)),
                largest=float(error.max()),
                same_evaluations=float((one["evaluations"] == other["evaluations"]).mean()),
                samples=len(error),
            )


def _row(folder: Path) -> dict[str, np.ndarray]:
    [path] = folder.glob("*.npz")
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _losses(ledger: Ledger, place: Path) -> None:
    """Every recorded loss of every training; rounding grows with the steps, so the limit is that of the last ones."""
    files = sorted((place / "cpu").glob("*/*/**/losses.csv"))
    if not files:
        raise FileNotFoundError(f"{place / 'cpu'}: no losses.csv")
    for file in files:
        name = str(file.relative_to(place / "cpu").parent)
        one, other = (_columns(place / run / name / "losses.csv") for run in ("cpu", "gpu"))
        off = np.abs(one["loss"] - other["loss"]) / np.abs(one["loss"])
        ledger.check(
            f"losses of {name}: largest relative difference",
            float(off.max()),
            5e-3,
            steps=len(off),
            first=float(off[0]),
            last=float(off[-1]),
        )


def _columns(path: Path) -> dict[str, np.ndarray]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def _posteriors(ledger: Ledger, data: Path) -> None:
    """D2, the denoisers and P2 on the device, float32 products, against float64 on the CPU."""
    x, y = images(data), labels(data)
    count = 300 if ledger.toy else 2000
    shards = [torch.from_numpy(x[y == k][:count]) for k in range(10)]
    times = torch.linspace(0.02, 0.98, 32 if ledger.toy else 128, dtype=torch.float64)
    point = build("schedule", "vp-cosine").at(times)
    generator = torch.Generator().manual_seed(0)
    clean = torch.stack([shards[i % 10][i] for i in range(len(times))]).double() / 127.5 - 1.0
    noise = torch.randn(clean.shape, dtype=torch.float64, generator=generator)
    noised = point.alpha[:, None, None, None] * clean + point.sigma[:, None, None, None] * noise
    # Rounded first: both engines have to see the same points.
    noised = noised.float()
    exact = PosteriorEngine(shards=shards, products="float64").at(noised.double(), point)
    engine = PosteriorEngine(shards=[shard.to(ledger.device) for shard in shards], products="float32")
    found = engine.at(noised.to(ledger.device), point)
    rate, wanted = found.rate().double().cpu(), exact.rate()
    size = {"items": 10 * count, "dimension": 1024, "points": len(times)}
    ledger.check("posterior weights: largest difference", float((found.a.cpu() - exact.a).abs().max()), 1e-4, **size)
    ledger.check("posterior denoiser: largest difference", float((found.m.cpu() - exact.m).abs().max()), 1e-3, **size)
    off = (rate - wanted).abs().max() / wanted.abs().max()
    ledger.check("rate of the posterior: largest difference over the largest rate", float(off), 1e-3, **size)
