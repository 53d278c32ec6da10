"""Conditions of samples: functions of what is asked for, of seed and sample; the same bits in parts; guided runs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from whole_runs import LABELLED, KilledError, files, recipe_of, results, run

import mixvel_core as mx
from mixvel_core.artifacts.arrays import write_arrays
from mixvel_core.errors import MixvelError, RecipeError, UsageError
from mixvel_core.pipeline.data_identity import identity_of
from mixvel_core.pipeline.loaded import Loaded
from mixvel_core.pipeline.opened import Run
from mixvel_core.pipeline.sample_conditions import condition_choice, given_condition, rows_in, rows_of
from mixvel_core.pipeline.sample_specs import sample_specs
from mixvel_core.protocols import CLASS, Condition, ConditionSpec
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.residency import ResidentExpert
from mixvel_guidance.guidance import ClassifierFree

CUT = ("sample.batch=3", "sample.threads=1")
SIDE_BY_SIDE = "sample.launcher={use: local, parallel: 2, threads: 1, device: cpu}"
NAMED = ConditionSpec(name=CLASS, classes=3, labels=("cat", "dog", "owl"))
TEXT = ConditionSpec(name="text", shape=(2,))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Sampled in one process; nobody changes it."""
    folder = tmp_path_factory.mktemp("labelled") / "run"
    run(LABELLED, folder, *CUT, stage="evaluate")
    return mx.open_run(folder)


def classes(condition: Condition) -> list[int]:
    found: list[int] = condition.values[CLASS].tolist()
    return found


def test_classes_are_balanced_or_those_of_the_list_in_turn() -> None:
    assert condition_choice("auto", [NAMED]) == "balanced"
    assert condition_choice("auto", [NAMED, TEXT]) == condition_choice("from-data", [NAMED]) == "from-data"
    assert condition_choice(("owl", 0), [NAMED]) == (2, 0)
    assert condition_choice(None, [NAMED]) is None
    assert condition_choice("auto", []) is None
    assert classes(rows_of("balanced", 7, 5, [NAMED], ())) == [0, 1, 2, 0, 1, 2, 0]
    assert classes(rows_of((2, 0), 5, 5, [NAMED], ())) == [2, 0, 2, 0, 2]


def test_conditions_of_items_are_a_function_of_seed_and_sample(opened: Run) -> None:
    shards = opened.models.shards
    few, many, other = (rows_of("from-data", n, seed, [NAMED], shards) for n, seed in ((40, 3), (400, 3), (40, 4)))
    assert classes(few) == classes(many)[:40] != classes(other)
    stored = np.concatenate([np.asarray(part.condition_values()[CLASS][:]) for part in opened.shards.parts])
    assert abs(np.mean(classes(many)) - stored.mean()) < 0.1


@pytest.mark.parametrize(
    ("asked", "specs", "message"),
    [
        (("fox",), [NAMED], "no class is called 'fox'"),
        ((3,), [NAMED], "there is no class 3; classes are 0 to 2"),
        ((-1,), [NAMED], "there is no class -1"),
        ((0,), [NAMED, TEXT], "classes alone leave text without values; take from-data"),
        ((0,), [TEXT], "the items have no class, but text; take from-data, or a file of these"),
    ],
)
def test_classes_that_are_not_there_get_a_line(
    asked: tuple[int | str, ...], specs: list[ConditionSpec], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        condition_choice(asked, specs)


@pytest.mark.parametrize(
    ("values", "specs", "message"),
    [
        ({CLASS: 1}, [], "a condition is given, and the run has none"),
        ({"clas": 1}, [NAMED], "no condition is called 'clas'; did you mean class"),
        ({CLASS: 1}, [NAMED, TEXT], "the condition lacks text"),
        ({CLASS: [0, 1], "text": np.zeros((3, 2))}, [NAMED, TEXT], "rows of several lengths: 2 of class, 3 of text"),
        ({CLASS: 0, "text": np.zeros((1, 5))}, [NAMED, TEXT], r"values of shape \(1, 5\); give \(rows, 2\)"),
        ({CLASS: 0, "text": np.full((1, 2), np.nan)}, [NAMED, TEXT], "values that are not finite"),
        ({CLASS: 1.5}, [NAMED], "there is no class 1.5"),
    ],
)
def test_values_that_are_no_condition_get_a_line(
    values: dict[str, object], specs: list[ConditionSpec], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        given_condition(values, specs)


def test_a_file_gives_a_row_for_each_sample_or_one_for_all(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    write_arrays(path, {CLASS: np.array([1, 2]), "text": np.ones((2, 2))})
    found = rows_in(path, [NAMED, TEXT], 2)
    assert classes(found) == [1, 2]
    assert found.values["text"].dtype == torch.float32
    with pytest.raises(UsageError, match="2 rows for 3 samples"):
        rows_in(path, [NAMED, TEXT], 3)
    write_arrays(path, {CLASS: np.array([2])})
    assert classes(rows_in(path, [NAMED], 3)) == [2, 2, 2]
    for content in (b"nothing", None):
        path.write_bytes(content) if content else path.unlink()
        with pytest.raises(UsageError, match=r"rows\.npz"):
            rows_in(path, [NAMED], 3)


def test_samples_carry_their_condition_and_are_the_same_bits_in_parts(opened: Run, tmp_path: Path) -> None:
    with np.load(opened.folder / "samples/guided/steps-3-seed-0.npz") as found:
        assert found["condition.class"].tolist() == [0, 1] * 4
        assert (found["evaluations"] <= 2 * 3 * 3).all()
    run(LABELLED, tmp_path / "apart", *CUT, SIDE_BY_SIDE, stage="evaluate")
    assert results(tmp_path / "apart") == results(opened.folder)
    run(LABELLED, tmp_path / "whole", "sample.count=20", "sample.threads=1", stage="sample")
    for method in ("alone", "given", "guided", "away"):
        name = f"samples/{method}/steps-3-seed-0.npz"
        with np.load(tmp_path / "whole" / name) as many, np.load(opened.folder / name) as few:
            np.testing.assert_allclose(many["x"][:8], few["x"], atol=1e-6)
            assert many["condition.class"][:8].tolist() == few["condition.class"].tolist()


def test_a_killed_sampling_goes_on_with_the_parts_under_their_conditions(
    opened: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = Loaded.sampler
    count = 0

    def killed(self: Loaded, draw: object) -> object:
        nonlocal count
        count += 1
        if count > 7:
            raise KilledError
        return started(self, draw)  # type: ignore[arg-type]  # it is passed on

    monkeypatch.setattr(Loaded, "sampler", killed)
    with pytest.raises(KilledError):
        run(LABELLED, tmp_path, *CUT, stage="sample")
    assert [name for name in files(tmp_path) if ".parts" in name]
    monkeypatch.setattr(Loaded, "sampler", started)
    run(LABELLED, tmp_path, *CUT, stage="evaluate")
    assert results(tmp_path) == results(opened.folder)


def test_a_run_is_sampled_under_a_condition_in_python(opened: Run) -> None:
    sampler = opened.sampler(guidance=3, steps=3)
    found = sampler.sample(8, condition=opened.condition([0, 1] * 4))
    with np.load(opened.folder / "samples/guided/steps-3-seed-0.npz") as stored:
        np.testing.assert_allclose(found.x.numpy(), stored["x"], atol=1e-6)
        assert found.evaluations.tolist() == stored["evaluations"].tolist()
    assert found.condition is not None
    away = opened.sampler(guidance={"use": "autoguidance", "scale": 2}, steps=3)
    with np.load(opened.folder / "samples/away/steps-3-seed-0.npz") as stored:
        np.testing.assert_allclose(away.sample(8, condition=found.condition).x.numpy(), stored["x"], atol=1e-6)
    with pytest.raises(UsageError, match="no condition is given to lead to"):
        sampler.sample(8)
    with pytest.raises(UsageError, match="there is no class 7; classes are 0 to 1"):
        opened.condition(7)
    with pytest.raises(UsageError, match="there is no class 3; classes are 0 to 1, and 2 is none"):
        sampler.sample(8, condition=Condition(values={CLASS: torch.tensor([3])}))
    with pytest.raises(UsageError, match="8 rows for 9 samples"):
        sampler.sample(9, condition=found.condition)
    for scale in (float("nan"), -1.0, float("inf")):
        with pytest.raises(MixvelError, match="scale"):
            opened.sampler(guidance=scale)
    with pytest.raises(ValueError, match="at least 0, not nan"):
        ClassifierFree(scale=float("nan"))


def test_experts_that_are_not_in_memory_read_their_conditions_too(opened: Run) -> None:
    loaded = Loaded(opened.models, recipe_of(LABELLED, "sample.resident_experts=1").sample)
    [alone, given, guided, away] = sample_specs(loaded.options, ["exact"], opened.models.conditions)
    draws = SampleDraws(seed=0, index=torch.arange(8))
    condition = opened.models.condition(guided, 8)
    for spec in (alone, given, guided, away):
        sampler = loaded.sampler(spec)
        assert sampler.reads == {CLASS}
        assert all(one.null is not None for one in sampler.experts if isinstance(one, ResidentExpert))
        x, _ = sampler.trajectory(draws.noise((3,), torch.float32), draws, condition=condition)
        with np.load(opened.folder / f"samples/{spec.method}/steps-3-seed-0.npz") as stored:
            np.testing.assert_allclose(x.numpy(), stored["x"], atol=1e-6)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["sample.condition=null"],
            "sample.methods.guided.guidance  leads to a condition, and `sample.condition`",
        ),
        (["sample.condition=[5]"], "sample.condition  there is no class 5; classes are 0 to 1"),
        (["sample.condition=[cat]"], "sample.condition  there is no class 'cat'; classes are 0 to 1"),
        (["expert={use: empirical, bandwidth: 0.1}"], "guidance  the experts, empirical, read no condition"),
        (
            ["monolith={use: empirical, bandwidth: 0.1}", "sample.methods={alone: {model: monolith, guidance: cfg}}"],
            "sample.methods.alone.guidance  the monolith, empirical, reads no condition that it could lead to",
        ),
        (["monolith={use: empirical, bandwidth: 0.1}"], "away.guidance  the monolith, empirical, reads no condition"),
    ],
)
def test_what_models_and_data_cannot_do_is_refused_before_anything_is_made(
    overrides: list[str], line: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=line.replace("[", r"\[")):
        run(LABELLED, tmp_path / "run", *overrides)
    assert not (tmp_path / "run" / "experts").exists()


def test_a_monolith_that_reads_no_condition_stands_beside_guided_rows_without(tmp_path: Path) -> None:
    methods = "sample.methods={alone: {model: monolith}, guided: {}}"
    run(LABELLED, tmp_path, methods, "monolith={use: empirical, bandwidth: 0.1}", "sample.guidance=cfg", stage="sample")
    with np.load(tmp_path / "samples/alone/steps-3-seed-0.npz") as found:
        assert "condition.class" not in found
        assert found["evaluations"].tolist() == [3] * 8
    with np.load(tmp_path / "samples/guided/steps-3-seed-0.npz") as found:
        assert found["condition.class"].tolist() == [0, 1] * 4


def test_a_file_of_conditions_belongs_to_the_identity_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "classes.npy"
    np.save(path, np.arange(120) % 2)
    recipe = recipe_of(LABELLED, f"condition.class={path}")
    assert identity_of(recipe_of(LABELLED)) is None
    first = identity_of(recipe)
    assert first == identity_of(recipe) is not None
    os.utime(path, ns=(1, 1))
    assert identity_of(recipe) != first
    np.save(path, np.arange(119) % 2)
    with pytest.raises(MixvelError, match=r"\(119,\) for 120 items; give a row for each item"):
        run(LABELLED, tmp_path / "run", f"condition.class={path}", stage="partition")
