from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mixvel_core.pipeline.board import PLACE, show_scores
from mixvel_core.pipeline.scores import Scores


def row(method: str, steps: int, seed: int, value: float) -> dict[str, object]:
    return {"method": method, "steps": steps, "seed": seed, "metric": "w2", "value": value, "conditions": {"n": "8"}}


def test_each_method_is_a_curve_of_means_over_seeds_by_steps(tmp_path: Path) -> None:
    rows = (row("a/../b", 10, 0, 1.0), row("a/../b", 10, 1, 2.0), row("a/../b", 5, 0, 4.0), row("c", 5, 0, 0.5))
    show_scores(Scores(rows=rows, floors=(), noise=(), timings=()), tmp_path)
    assert not list(tmp_path.iterdir()), "nothing was trained here"
    (tmp_path / "tensorboard").mkdir()
    show_scores(Scores(rows=(rows[3], *rows), floors=(), noise=(), timings=()), tmp_path)
    # What was shown before is replaced.
    show_scores(Scores(rows=rows, floors=(), noise=(), timings=()), tmp_path)
    folders = sorted((tmp_path / PLACE).iterdir())
    assert [folder.name for folder in folders] == ["00 a_.._b", "01 c"]
    events = EventAccumulator(str(folders[0]))
    events.Reload()
    assert [(one.step, one.value) for one in events.Scalars("w2")] == [(5, 4.0), (10, pytest.approx(1.5))]
