"""Owners of data and their experts, small enough for a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from whole_runs import recipe_of, save_classes

from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.artifacts.files import read_json, write_json
from mixvel_core.federated.share import share_of
from mixvel_core.federated.train import train_expert
from mixvel_core.protocols import Progress
from mixvel_core.protocols.progress import Silent

K = 3
COUNTS = (12, 9, 6)

SILOS = """\
name: silos
data: {use: numpy, path: pooled.npz, labels: labels}
partition: labels
schedule: vp-cosine
expert: {use: unet, channels: [4, 8], train: {steps: 6, batch: 8, warmup: 1, checkpoint_every: 2, log_every: 2}}
routers:
  a:
    use: a-network
    channels: [4, 8]
    train_on: experts
    drawn: {count: 30, steps: 2, integrator: ddim}
    train: {steps: 4, batch: 8, warmup: 1, checkpoint_every: 2, log_every: 2}
sample:
  count: 4
  steps: [2]
  selector: mixture
  integrator: ddim
  methods: {mixed: {}, cached: {selector: cached}}
evaluate: {metrics: [{use: sliced-w2, projections: 8}]}
launcher: {use: local, device: cpu, threads: 1}
"""
"""Four networks of a few steps; data in three classes of different sizes."""


def save_data(folder: Path) -> None:
    """``pooled.npz`` with everything, and ``owner-K.npz`` with what one owner holds of it."""
    save_classes(folder / "all.npz", classes=K, each=max(COUNTS))
    with np.load(folder / "all.npz") as arrays:
        items, labels = arrays["items"], arrays["labels"]
    kept = np.concatenate([np.flatnonzero(labels == k)[: COUNTS[k]] for k in range(K)])
    np.savez(folder / "pooled.npz", items=items[kept], labels=labels[kept])
    for k in range(K):
        np.savez(folder / f"owner-{k}.npz", items=items[kept][labels[kept] == k])


def owner_data(data: Path, k: int) -> str:
    """The override that names what owner k holds."""
    return f"data={{use: numpy, path: {data}/owner-{k}.npz}}"


def pooled_data(data: Path) -> str:
    return f"data.path={data}/pooled.npz"


def hand_over(
    data: Path,
    k: int,
    out: Path,
    *overrides: str,
    index: int | None = None,
    share: str = "moments",
    fresh: bool = False,
    progress: Progress | None = None,
) -> Path:
    """The folder of owner k's expert, called ``index``."""
    recipe = recipe_of(SILOS, owner_data(data, k), *overrides)
    named = k if index is None else index
    train_expert(recipe, named, out, share=share_of(share), fresh=fresh, progress=progress or Silent())
    return out


def forge(folder: Path, **changes: object) -> None:
    """Changes what a folder says of its expert, and makes its list of files agree."""
    about = {**read_json(folder / "config.json"), **changes}
    write_json(folder / "config.json", about)
    files = list(read_json(folder / "done.json")["files"])
    Artifact(folder=folder, key=key_of(**about)).commit(files)
