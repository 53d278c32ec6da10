"""Samples and scores computed in parts: the same bits whatever worker runs which part, and nothing done twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from attrs import define, field, frozen
from whole_runs import EXACT, TRAINED, Bomb, KilledError, files, recipe_of, results, run, snapshot

from mixvel_core.artifacts.files import read_json
from mixvel_core.errors import RecipeError
from mixvel_core.pipeline import more_samples
from mixvel_core.pipeline import sample as sampling
from mixvel_core.pipeline.experts import StoredExpert
from mixvel_core.pipeline.loaded import Loaded
from mixvel_core.pipeline.more_samples import sample_run
from mixvel_core.pipeline.opened import open_run
from mixvel_core.pipeline.parts import ModelSource, SampleJob, mapper_of, sample_jobs
from mixvel_core.pipeline.sample_specs import sample_specs
from mixvel_core.plugin.definition import LauncherUse
from mixvel_core.protocols import Task
from mixvel_core.protocols.progress import Silent
from mixvel_core.sampling.residency import ResidentExpert

CUT = ("sample.batch=3", "sample.threads=1")
SIDE_BY_SIDE = "sample.launcher={use: local, parallel: 2, threads: 1, device: cpu}"


def drawn(folder: Path) -> dict[str, str]:
    """The content of the files of samples."""
    return {name: content for name, content in results(folder).items() if name.startswith("samples")}


@define
class Backwards:
    """A mapper that does the last part first, ``most`` at most, and begins anew for each part."""

    most: int = 1 << 30
    done: list[Any] = field(factory=list)
    parts: Sequence[Any] = ()

    def map(
        self, task: Task[Any, Any], parts: Sequence[Any], report: Callable[[int, int], None]
    ) -> Generator[tuple[int, Any]]:
        """See ``Mapper``."""
        self.parts = parts
        for index in reversed(range(len(parts))):
            if len(self.done) == self.most:
                raise KilledError
            report(index, 0)
            result = task.begin(torch.device("cpu"))(parts[index], lambda done: None)
            self.done.append(parts[index])
            yield index, result


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exact experts, sampled and scored in one process; nobody changes it."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    run(EXACT, folder, *CUT, stage="evaluate")
    return folder


def test_a_run_is_the_same_in_process_and_side_by_side(tmp_path: Path) -> None:
    run(TRAINED, tmp_path / "alone", *CUT, stage="evaluate")
    run(TRAINED, tmp_path / "apart", *CUT, SIDE_BY_SIDE, stage="evaluate")
    assert results(tmp_path / "apart") == results(tmp_path / "alone")
    assert any(name.endswith(".npz") for name in results(tmp_path / "apart"))
    assert not [name for name in files(tmp_path / "apart") if ".parts" in name]


def test_the_launcher_is_not_part_of_what_is_drawn(tmp_path: Path) -> None:
    run(EXACT, tmp_path, *CUT, stage="evaluate")
    before = snapshot(tmp_path / "samples")
    run(EXACT, tmp_path, *CUT, SIDE_BY_SIDE, stage="evaluate")
    assert snapshot(tmp_path / "samples") == before


def test_the_samples_routers_learn_from_are_the_same(tmp_path: Path) -> None:
    learned = "routers.exact={use: a-network, width: 8, depth: 1, train_on: experts, drawn: {count: 30, steps: 3}, "
    learned += "train: {steps: 2, batch: 8, warmup: 1}}"
    run(EXACT, tmp_path / "alone", *CUT, learned, stage="routers")
    run(EXACT, tmp_path / "apart", *CUT, learned, SIDE_BY_SIDE, stage="routers")
    assert results(tmp_path / "apart") == results(tmp_path / "alone")
    assert [name for name in results(tmp_path / "apart") if name.startswith("router_data")]


def test_order_and_workers_change_nothing_and_a_killed_run_draws_only_what_is_missing(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Backwards(most=10)
    monkeypatch.setattr(sampling, "mapper_of", lambda launcher: first)
    with pytest.raises(KilledError):
        run(EXACT, tmp_path / "apart", *CUT, stage="sample")
    assert [name for name in files(tmp_path / "apart") if ".parts" in name]
    second = Backwards()
    monkeypatch.setattr(sampling, "mapper_of", lambda launcher: second)
    run(EXACT, tmp_path / "apart", *CUT, stage="sample")
    # Eight jobs of eight samples, three at a time; the number of a job counts from what is left.
    parts = [(p.spec.method, p.spec.steps, p.first) for p in [*first.done, *second.done]]
    assert len(parts) == len(set(parts)) == 8 * 3
    assert drawn(tmp_path / "apart") == drawn(alone)
    assert not [name for name in files(tmp_path / "apart") if ".parts" in name]


def test_a_damaged_part_is_sampled_again(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "mapper_of", lambda launcher: Backwards(most=2))
    with pytest.raises(KilledError):
        run(EXACT, tmp_path / "apart", *CUT, stage="sample")
    kept = [path for name, path in files(tmp_path / "apart").items() if ".parts" in name and name.endswith(".npz")]
    kept[0].write_bytes(b"not an array")
    mapper = Backwards()
    monkeypatch.setattr(sampling, "mapper_of", lambda launcher: mapper)
    run(EXACT, tmp_path / "apart", *CUT, stage="sample")
    assert len(mapper.done) == 8 * 3 - len(kept) + 1
    assert drawn(tmp_path / "apart") == drawn(alone)


@pytest.mark.parametrize("fuse", [12, 20, 30, 41])
def test_ctrl_c_anywhere_leaves_nothing_running_and_goes_on(fuse: int, alone: Path, tmp_path: Path) -> None:
    interrupted = Bomb(fuse=fuse, error=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        run(EXACT, tmp_path, *CUT, SIDE_BY_SIDE, progress=interrupted, stage="evaluate")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("sampling", "evaluate"))]
    run(EXACT, tmp_path, *CUT, SIDE_BY_SIDE, stage="evaluate")
    assert results(tmp_path) == results(alone)


@frozen
class OnlyTrains:
    """A launcher without the optional side."""

    def run(self, jobs: Sequence[Any], progress: Any) -> None:
        """Nothing."""


def test_a_launcher_that_only_trains_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use = recipe_of(EXACT).launcher
    monkeypatch.setattr(LauncherUse, "build", lambda self: OnlyTrains())
    with pytest.raises(RecipeError, match=r"sample\.launcher: local trains and does nothing else; use local or ray"):
        mapper_of(use)


def test_bars_count_all_that_is_behind(tmp_path: Path) -> None:
    run(EXACT, tmp_path, *CUT, stage="routers")
    seen: dict[str, list[int]] = {}

    class Bars(Silent):
        def task(self, name: str, total: int, unit: str) -> Any:
            return nullcontext(SimpleNamespace(update=lambda done, note="": seen.setdefault(name, []).append(done)))

    run(EXACT, tmp_path, *CUT, SIDE_BY_SIDE, progress=Bars(), stage="sample")
    bars = {name: moved for name, moved in seen.items() if name.startswith("sample ")}
    assert len(bars) == 8
    assert all(moved == sorted(moved) and moved[-1] == 8 * int(name.split()[2]) for name, moved in bars.items())


def test_parts_are_cut_where_batches_are() -> None:
    noting = Backwards(most=0)
    jobs = [SampleJob(label=spec, spec=spec, count=count, steps=1, seed=0) for spec, count in (("a", 7), ("b", 3))]
    source: Any = ModelSource(folder=Path(), threads=None, open=None)  # type: ignore[arg-type]  # it is never opened
    with pytest.raises(KilledError):
        list(sample_jobs(source, jobs, noting, 3, Silent()))
    assert [(p.spec, p.first, p.last) for p in noting.parts] == [("a", 0, 3), ("a", 3, 6), ("a", 6, 7), ("b", 0, 3)]


def test_the_clock_starts_when_the_experts_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []

    def slow(self: StoredExpert, device: Any = "cpu") -> Any:
        loads.append(self.folder.name)
        sleep(0.2)
        return load(self, device)

    load = StoredExpert.load
    monkeypatch.setattr(StoredExpert, "load", slow)
    run(EXACT, tmp_path, "sample.steps=[2]", stage="sample")
    assert sorted(loads) == ["0", "1", "2", "monolith"]
    records = [read_json(path) for name, path in files(tmp_path / "samples").items() if name.endswith(".json")]
    assert len(records) == 4
    assert all(0 < record["notes"]["seconds"] < 0.2 for record in records)


def test_experts_and_monolith_share_the_room(tmp_path: Path) -> None:
    run(EXACT, tmp_path, stage="sample")
    found = open_run(tmp_path, ["sample.resident_experts=2"])
    loaded = Loaded(found.models, found.recipe.sample)
    both, held = [*loaded.experts(monolith=True), *loaded.experts()], []
    for spec in sample_specs(found.recipe.sample, list(found.models.routers)):
        loaded.sampler(spec).sample(4)
        held.append([one.is_resident for one in both if isinstance(one, ResidentExpert)])
    assert held[0] == [True, False, False, False]
    assert max(map(sum, held)) == 2


def test_more_samples_of_a_run_go_on_with_the_parts_that_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("experts", "routers", "monolith"):
        run(EXACT, tmp_path / "run", stage=stage)

    def more(out: str, *overrides: str) -> Path:
        asked = ["sample.batch=3", "sample.threads=1", "sample.steps=[3]", *overrides]
        [path] = sample_run(tmp_path / "run", asked, router=None, monolith=False, out=tmp_path / out, progress=Silent())
        return path

    whole, side_by_side = more("whole"), more("side by side", SIDE_BY_SIDE)
    assert whole.read_bytes() == side_by_side.read_bytes()
    mappers = [Backwards(most=2), Backwards()]
    monkeypatch.setattr(more_samples, "mapper_of", lambda launcher: mappers[0])
    with pytest.raises(KilledError):
        more("killed")
    monkeypatch.setattr(more_samples, "mapper_of", lambda launcher: mappers[1])
    assert more("killed").read_bytes() == whole.read_bytes()
    assert [len(mapper.done) for mapper in mappers] == [2, 1]
    assert list(files(tmp_path / "killed")) == [whole.name]
