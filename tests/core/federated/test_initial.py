"""Experts of owners who started from weights that are there: the place of these is nobody else's."""

from __future__ import annotations

import shutil
from pathlib import Path

from silos import K, go_on, hand_over, put_together, save_data
from whole_runs import TRAINED, run

from mixvel_core.artifacts.files import read_json

BASE = (
    "monolith=null",
    "routers={prior: fixed}",
    "sample.methods={drawn: {}}",
    "expert={use: unet, channels: [4, 8], train: {steps: 2, batch: 4, warmup: 1, checkpoint_every: 2, log_every: 1}}",
)


def test_experts_that_started_from_weights_are_assembled_without_them(tmp_path: Path) -> None:
    save_data(tmp_path)
    run(
        TRAINED,
        tmp_path / "base",
        *BASE,
        "data={use: numpy, path: %s, labels: labels}" % (tmp_path / "pooled.npz"),
        "partition=labels",
        stage="experts",
    )
    bundles = []
    for k in range(K):
        own = tmp_path / f"weights-of-{k}"
        shutil.copytree(tmp_path / "base" / "experts" / "0", own)
        bundles.append(hand_over(tmp_path, k, tmp_path / str(k), f"expert.initial={own}"))
        assert "weights-of" not in (bundles[-1] / "config.json").read_text()
        shutil.rmtree(own)
    put_together(tmp_path, tmp_path / "run", "routers={prior: fixed}", folders=bundles)
    go_on(tmp_path / "run", stage="sample")
    assert read_json(tmp_path / "run/experts/0/config.json")["expert"]["initial"] is None
    assert list((tmp_path / "run/samples").rglob("*.npz"))
    # Experts of a run travel in the same way.
    put_together(
        tmp_path,
        tmp_path / "second",
        "routers={prior: fixed}",
        folders=[tmp_path / "run" / "experts" / str(k) for k in range(K)],
    )
