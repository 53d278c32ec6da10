"""Isolation: the training of an expert touches its own shard and nothing else, and nothing else changes it."""

from __future__ import annotations

import io
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from attrs import field, frozen
from whole_runs import TRAINED, recipe_of, run, save_classes

from mixvel_core.pipeline.models import ModelStages, model_stages
from mixvel_core.pipeline.partition import partition_artifact, stored_shards
from mixvel_core.pipeline.run import RunResult
from mixvel_core.pipeline.shards import Shards
from mixvel_core.protocols.progress import Silent

K = 3


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which all experts were trained, with all shards at hand."""
    folder = tmp_path_factory.mktemp("together")
    run(TRAINED, folder, stage="experts")
    return folder


@frozen(kw_only=True)
class Forbidden:
    """A shard that tells its place, and fails the test whatever else is asked of it."""

    index: int
    asked: list[str] = field(factory=list)

    def __getattr__(self, what: str) -> object:
        self.asked.append(what)
        raise AssertionError(f"shard {self.index} was asked for its {what}")


def shards_of(folder: Path) -> Shards:
    shards = stored_shards(partition_artifact(recipe_of(TRAINED), folder))
    assert shards is not None
    return shards


def train_alone(shards: Shards, k: int, folder: Path) -> ModelStages:
    recipe = recipe_of(TRAINED)
    makers = model_stages(recipe, folder, shards)
    RunResult(recipe=recipe, folder=folder, progress=Silent()).train(makers, "experts", only=k)
    return makers


def weights(folder: Path, k: int) -> bytes:
    return (folder / f"experts/{k}/model.safetensors").read_bytes()


@pytest.mark.parametrize("k", range(K))
def test_an_expert_is_trained_with_every_other_shard_forbidden(together: Path, tmp_path: Path, k: int) -> None:
    shards = shards_of(together)
    forbidden = {j: Forbidden(index=j) for j in range(K) if j != k}
    parts = tuple(forbidden.get(part.index, part) for part in shards.parts)
    train_alone(Shards(key=shards.key, parts=parts, about=shards.about), k, tmp_path)  # type: ignore[arg-type]  # meant
    assert weights(tmp_path, k) == weights(together, k)
    assert [f.asked for f in forbidden.values()] == [[]] * (K - 1)


def test_forbidden_shards_are_noticed(together: Path, tmp_path: Path) -> None:
    """The test above can fail: what does read all shards, the monolith, does not get past one that is forbidden."""
    shards = shards_of(together)
    parts = (*shards.parts[:2], Forbidden(index=2))
    makers = model_stages(recipe_of(TRAINED), tmp_path, Shards(key="", parts=parts, about={}))  # type: ignore[arg-type]  # stand-ins for stored shards
    with pytest.raises(AssertionError, match="shard 2 was asked"):
        RunResult(recipe=recipe_of(TRAINED), folder=tmp_path, progress=Silent()).train(makers, "monolith")


@pytest.mark.parametrize("k", range(K))
def test_an_expert_is_trained_where_no_other_shard_is(together: Path, tmp_path: Path, k: int) -> None:
    shutil.copytree(together / "shards", tmp_path / "shards")
    shards = shards_of(tmp_path)
    for j in range(K):
        if j != k:
            shutil.rmtree(tmp_path / "shards" / str(j))
    train_alone(shards, k, tmp_path)
    assert weights(tmp_path, k) == weights(together, k)


class Inventory(pickle.Pickler):
    """Pickles, and keeps every path and array that goes along."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.paths: list[Path] = []
        self.arrays: list[np.ndarray] = []

    def persistent_id(self, value: object) -> None:
        """Called with everything that is pickled; None lets it be."""
        if isinstance(value, Path):
            self.paths.append(value)
        if isinstance(value, np.ndarray):
            self.arrays.append(value)


def test_what_is_sent_to_a_worker_leads_to_one_shard(together: Path, tmp_path: Path) -> None:
    makers = model_stages(recipe_of(TRAINED), tmp_path, shards_of(together))
    for k, stage in enumerate(makers.separate):
        [pending] = stage.training_jobs()
        [job] = pending.jobs.values()
        sent = Inventory()
        sent.dump(job)
        assert [p for p in sent.paths if p.is_relative_to(together)] == [together / "shards" / str(k)]
        assert not sent.arrays
        assert pickle.loads(pickle.dumps(job)).task.items[:].tobytes() == job.task.items[:].tobytes()


def test_what_others_hold_changes_nothing(tmp_path: Path) -> None:
    """The same shard 0 among other shards: other contents, other sizes, another number of them."""
    save_classes(tmp_path / "a.npz", seed=1)
    with np.load(tmp_path / "a.npz") as arrays:
        items, labels = arrays["items"], arrays["labels"]
    others = np.random.default_rng(5).uniform(-1, 1, items.shape).astype(np.float32)
    np.savez(tmp_path / "b.npz", items=np.where(labels[:, None, None, None] == 0, items, others), labels=labels)
    np.savez(tmp_path / "c.npz", items=items[:20], labels=labels[:20])
    np.savez(tmp_path / "d.npz", items=items[12:], labels=labels[12:])

    def train(name: str, groups: str) -> bytes:
        data = f"data={{use: numpy, path: {tmp_path / name}.npz, labels: labels}}"
        folder = tmp_path / f"{name}{len(groups)}"
        run(TRAINED, folder, data, f"partition={{use: labels, groups: {groups}}}", expert=0)
        return weights(folder, 0)

    alone = train("a", "[[0], [1], [2]]")
    assert train("a", "[[0], [1, 2]]") == alone
    assert train("b", "[[0], [1], [2]]") == alone
    assert train("c", "[[0], [1]]") == alone
    assert train("d", "[[1], [2]]") != alone, "the contents of its own shard do"
