"""Samples of the experts in place of data: how many, of which law, and what learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whole_runs import EXACT, Bomb, KilledError, files, recipe_of, results, run, snapshot

from mixvel_core.artifacts.files import read_json
from mixvel_core.pipeline.models import model_stages
from mixvel_core.pipeline.partition import partition_artifact, stored_shards
from mixvel_core.pipeline.routers import counts_of

_NETWORK = "{use: a-network, width: 8, depth: 1, train_on: experts, train: {steps: 4, batch: 8, warmup: 1}"
LEARNED = f"routers.exact={_NETWORK}, drawn: {{count: 30, steps: 3}}}}"
"""In place of the oracle: a router that learns from 30 samples."""


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=12), st.integers(12, 5000))
def test_samples_are_shared_out_in_proportion(weights: list[float], total: int) -> None:
    pi = np.array(weights) / sum(weights)
    counts = counts_of(total, weights)
    assert all(count >= 1 for count in counts)
    assert all(abs(count - total * p) < 1 or count == 1 for count, p in zip(counts, pi, strict=True))
    if (total * pi >= 1).all():
        assert sum(counts) == total


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of exact experts; nobody changes it."""
    folder = tmp_path_factory.mktemp("learned") / "run"
    run(EXACT, folder, LEARNED)
    return folder


def test_samples_follow_the_law_of_their_expert(tmp_path: Path) -> None:
    many = f"routers.exact={_NETWORK}, drawn: {{count: 3000, steps: 60}}}}"
    run(EXACT, tmp_path, many, stage="routers")
    shards = stored_shards(partition_artifact(recipe_of(EXACT), tmp_path))
    assert shards is not None
    [place] = (tmp_path / "router_data").iterdir()
    for part in shards.parts:
        x, law = np.load(place / f"{part.index}/items.npy"), part.law
        assert law is not None
        assert len(x) == pytest.approx(3000 * part.fraction, abs=1)
        spread = np.sqrt(np.diagonal(law.covariances[0]))
        assert np.abs((x.mean(0) - law.means[0]) / spread).max() < 5 / np.sqrt(len(x))
        # The spread of a standard deviation is sd / sqrt(2 n); the steps of the solver add a little.
        assert np.abs(x.std(0) / spread - 1).max() < 5 / np.sqrt(2 * len(x)) + 0.02


def test_no_item_of_the_data_is_among_them_or_changes_the_router(learned: Path, tmp_path: Path) -> None:
    """Exact experts know the law alone, so other items of the same law must give the same router."""
    run(EXACT, tmp_path, LEARNED, "data.count=80", stage="routers")
    counts = [read_json(folder / "shards/data.json")["count"] for folder in (learned, tmp_path)]
    assert counts == [60, 80]
    assert results(tmp_path)["routers/exact/model.safetensors"] == results(learned)["routers/exact/model.safetensors"]


def test_again_changes_nothing_and_stages_make_what_they_need(learned: Path, tmp_path: Path) -> None:
    before = snapshot(learned)
    run(EXACT, learned, LEARNED)
    assert snapshot(learned) == before
    run(EXACT, tmp_path, LEARNED, stage="routers")
    assert (tmp_path / "experts/2/done.json").exists(), "without experts there is nothing to learn from"
    assert not (tmp_path / "monolith").exists()
    mine, its = results(tmp_path), results(learned)
    assert {n: d for n, d in its.items() if n.startswith(("router_data", "routers"))}.items() <= mine.items()


def test_killed_anywhere_it_ends_the_same(learned: Path, tmp_path: Path) -> None:
    counting = Bomb()
    run(EXACT, tmp_path / "counting", LEARNED, stage="routers", progress=counting)
    wanted = {n: d for n, d in results(learned).items() if n.startswith(("router_data", "routers", "experts"))}
    for fuse in range(1, counting.events, 4):
        folder = tmp_path / str(fuse)
        with pytest.raises(KilledError):
            run(EXACT, folder, LEARNED, stage="routers", progress=Bomb(fuse=fuse))
        run(EXACT, folder, LEARNED, stage="routers")
        assert wanted.items() <= results(folder).items()


def test_routers_share_samples_and_an_expert_made_anew_takes_its_own_with_it(tmp_path: Path) -> None:
    overrides = (LEARNED, "routers.other=" + LEARNED.partition("=")[2].replace("width: 8", "width: 4"))
    run(EXACT, tmp_path, *overrides, stage="routers")
    assert len(list((tmp_path / "router_data").iterdir())) == 1
    before = results(tmp_path)
    (tmp_path / "experts/1/model.safetensors").write_bytes(b"")
    recipe = recipe_of(EXACT, *overrides)
    shards = stored_shards(partition_artifact(recipe, tmp_path))
    assert shards is not None
    assert model_stages(recipe, tmp_path, shards).missing() == "expert 1"
    run(EXACT, tmp_path, *overrides, stage="routers")
    assert results(tmp_path) == before


def test_bytes_are_a_quarter_of_the_size_and_near(learned: Path, tmp_path: Path) -> None:
    run(EXACT, tmp_path, LEARNED.replace("steps: 3}", "steps: 3, store: uint8}"), stage="routers")
    [coarse], [fine] = ([*(folder / "router_data").iterdir()] for folder in (tmp_path, learned))
    for k in range(3):
        levels, x = np.load(coarse / f"{k}/items.npy"), np.load(fine / f"{k}/items.npy")
        assert levels.dtype == np.uint8
        np.testing.assert_allclose(levels / 127.5 - 1, np.clip(x, -1, 1), atol=0.5 / 127.5 + 1e-6)


def test_the_report_says_what_each_router_learned_from(learned: Path) -> None:
    told = read_json(learned / "report/report.json")["routers"]
    assert ["30 samples" in told[router]["learned_from"] for router in ("exact", "prior")] == [True, False]
    assert not [name for name in files(learned) if Path(name).name.startswith(".")]
