"""Recipes small enough to run from data to report in a test, and ways to look at the folders they leave."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from attrs import define, frozen

from mixvel_core.pipeline import run as pipeline
from mixvel_core.plugin.discovery import Registry, load_registry
from mixvel_core.protocols import Progress
from mixvel_core.protocols.progress import Silent
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import resolve
from mixvel_core.recipe.text import parse

EXACT = """\
name: exact
data: {use: gaussian-mixture, components: 3, dimension: 4, count: 60}
partition: labels
schedule: vp-cosine
expert: gaussian-mixture
monolith: gaussian-mixture
routers: {exact: oracle, prior: fixed}
sample:
  count: 8
  steps: [2, 3]
  selector: mixture
  integrator: ddim
  methods:
    alone: {model: monolith}
    drawn: {selector: iid, integrator: heun}
    mixed: {}
    guessed: {router: prior, selector: top1}
evaluate: {metrics: [{use: sliced-w2, projections: 8}]}
launcher: local
"""
"""Nothing to train: stages take milliseconds."""

LABELLED = """\
name: labelled
data: {use: gaussian-mixture, components: 6, dimension: 3, count: 120, classes: 2}
partition: {use: labels, groups: [[0, 1], [2, 3], [4, 5]]}
condition: {class: class}
schedule: vp-cosine
expert: gaussian-mixture
monolith: {use: blurred-mixture, blur: 0.4}
routers: {exact: oracle}
sample:
  count: 8
  steps: [3]
  selector: mixture
  integrator: ddim
  methods:
    alone: {model: monolith}
    given: {}
    guided: {guidance: {use: cfg, scale: 3}}
    away: {guidance: {use: autoguidance, scale: 2}}
evaluate: {metrics: [{use: sliced-w2, projections: 8}]}
launcher: local
"""
"""Exact experts and router under a class, which is another thing than the shard."""

_UNET = "{use: unet, channels: [4, 8], train: {steps: 6, batch: 8, warmup: 1, checkpoint_every: 2, log_every: 2}}"

TRAINED = f"""\
name: trained
data: digits
partition: {{use: labels, groups: [[0], [1, 2, 3, 4], [5, 6, 7, 8, 9]]}}
schedule: vp-cosine
expert: {_UNET}
monolith: {_UNET}
routers: {{a: {_UNET.replace("unet", "a-network")}}}
sample:
  count: 6
  steps: [2]
  selector: iid
  integrator: ddim
  methods:
    alone: {{model: monolith}}
    drawn: {{}}
    mixed: {{selector: mixture}}
evaluate: {{metrics: [{{use: sliced-w2, projections: 8}}]}}
launcher: {{use: local, device: cpu, threads: 1}}
"""
"""Five networks of six steps on real digits."""


@cache
def registry() -> Registry:
    return load_registry()


def recipe_of(text: str, *overrides: str) -> Recipe:
    return resolve(parse(text, "recipe"), list(overrides), registry())


def run(
    text: str,
    folder: Path,
    *overrides: str,
    progress: Progress | None = None,
    fresh: Sequence[str] | None = None,
    stage: str | None = None,
    expert: int | None = None,
    verify: bool = False,
) -> None:
    """Runs a recipe, without a word."""
    recipe = recipe_of(text, *overrides)
    pipeline.run(recipe, folder, progress=progress or Silent(), fresh=fresh, stage=stage, expert=expert, verify=verify)


def files(folder: Path) -> dict[str, Path]:
    """Every file below a folder, hidden ones too, by its path in it."""
    return {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if not p.is_dir()}


def snapshot(folder: Path) -> dict[str, tuple[str, int]]:
    """Content and time of change of every file."""
    return {name: (_digest(path), path.stat().st_mtime_ns) for name, path in files(folder).items()}


def results(folder: Path) -> dict[str, str]:
    """The content of whatever must not depend on how a run came about: no clocks, no checkpoints, no pages."""
    weights = ("model.safetensors", "moments.safetensors", ".npz", ".npy")
    kept = (*weights, "config.json", "shard.json", "data.json", "flops.json", "losses.csv")
    found = {name: _digest(path) for name, path in files(folder).items() if name.endswith(kept)}
    if (folder / "scores.json").exists():
        found["scores.json"] = without_timings(folder / "scores.json")
    return found


def without_timings(path: Path) -> str:
    """The content of a JSON file but for its ``timings``."""
    found = json.loads(path.read_text(encoding="utf-8"))
    del found["timings"]
    return json.dumps(found)


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes()).hexdigest()


def save_classes(path: Path, seed: int = 0, classes: int = 3, each: int = 12) -> None:
    """An .npz file of 8x8 images, brighter by class; those of class k depend on ``seed`` and k alone."""
    images = [
        np.random.default_rng([seed, k]).uniform(-1, -0.5, (each, 1, 8, 8)).astype(np.float32) + np.float32(0.5 * k)
        for k in range(classes)
    ]
    np.savez(path, items=np.concatenate(images), labels=np.repeat(np.arange(classes), each))


class KilledError(Exception):
    """Nothing in mixvel expects this: whatever it hits ends without a chance to save."""


@define
class Bomb:
    """A progress that goes off at its ``fuse``-th event; ``events`` says how many there were."""

    fuse: int = -1
    error: type[BaseException] = KilledError
    events: int = 0

    def tick(self) -> None:
        if self.events == self.fuse:
            raise self.error
        self.events += 1

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[_Ticking]:
        """A task whose beginning, updates and end are events."""
        self.tick()
        yield _Ticking(tick=self.tick)
        self.tick()

    def line(self, text: str) -> None:
        self.tick()


@frozen(kw_only=True)
class _Ticking:
    tick: Callable[[], None]

    def update(self, done: int, note: str = "") -> None:
        self.tick()
