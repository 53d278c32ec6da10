"""Owners of data and their experts, small enough for a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from whole_runs import recipe_of, save_classes

from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.artifacts.files import read_json, write_json
from mixvel_core.errors import MixvelError
from mixvel_core.federated.assemble import assemble
from mixvel_core.federated.share import share_of
from mixvel_core.federated.train import train_expert
from mixvel_core.pipeline.run import run as run_recipe
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import Progress
from mixvel_core.protocols.progress import Silent
from mixvel_core.recipe.resolve import load_recipe

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
    """``silos.yaml``, ``pooled.npz`` with everything, and ``owner-K.npz`` with what one owner holds of it."""
    (folder / "silos.yaml").write_text(SILOS)
    save_classes(folder / "all.npz", classes=K, each=max(COUNTS))
    with np.load(folder / "all.npz") as arrays:
        items, labels = arrays["items"], arrays["labels"]
    kept = np.concatenate([np.flatnonzero(labels == k)[: COUNTS[k]] for k in range(K)])
    np.savez(folder / "pooled.npz", items=items[kept], labels=labels[kept])
    for k in range(K):
        np.savez(folder / f"owner-{k}.npz", items=items[kept][labels[kept] == k])


def owner_data(data: Path, k: int) -> str:
    """What owner k holds, as an override. The brightest class has no value below 0, which is as it should be."""
    return f"data={{use: numpy, path: {data}/owner-{k}.npz, range: [-1, 1]}}"


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


def put_together(place: Path, out: Path, *overrides: str, folders: Sequence[Path]) -> None:
    """A run of the experts in ``folders`` by the recipe at ``place``."""
    assemble(folders, out, recipe=place / "silos.yaml", overrides=overrides, progress=Silent())


def go_on(folder: Path, fresh: Sequence[str] | None = None, stage: str | None = None) -> None:
    """Runs what is in ``folder`` by its own recipe."""
    recipe = load_recipe(folder / "recipe.yaml", [], load_registry())
    run_recipe(recipe, folder, progress=Silent(), fresh=fresh, stage=stage)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def require_refusal(
    error: type[MixvelError], message: str, bad: Path, folders: Sequence[Path], out: Path, recipe: Path | None = None
) -> None:
    """Passes if nothing is made of ``folders``, and one line names the ``bad`` one of them."""
    with pytest.raises(MixvelError, match=message) as refused:
        assemble(folders, out, recipe=recipe, overrides=[], progress=Silent())
    assert type(refused.value) is error
    assert str(bad) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not out.exists()


def forge(folder: Path, **changes: object) -> None:
    """Changes what a folder says of its expert, and makes its list of files agree."""
    about = {**read_json(folder / "config.json"), **changes}
    write_json(folder / "config.json", about)
    files = list(read_json(folder / "done.json")["files"])
    Artifact(folder=folder, key=key_of(**about)).commit(files)
