"""Conditions and guidance of an exported pipeline, beside those of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from exported import pipeline
from torch import Tensor
from whole_runs import LABELLED, run

import mixvel_core as mx
from mixvel_core.errors import UsageError
from mixvel_core.export.pipeline import MixvelPipeline
from mixvel_core.export.write import export_run
from mixvel_core.pipeline.opened import Run

STEPS = "sample.steps=[3]"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("labelled") / "run"
    run(LABELLED, folder, stage="sample")
    return mx.open_run(folder)


def samples(of: MixvelPipeline, count: int, **options: Any) -> Tensor:
    made: Any = of(count, **options)
    found: Tensor = made.images
    return found


@pytest.fixture(scope="module")
def plain(opened: Run, tmp_path_factory: pytest.TempPathFactory) -> MixvelPipeline:
    made: MixvelPipeline = pipeline(export_run(opened.folder, tmp_path_factory.mktemp("plain") / "out", [STEPS]))
    return made


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_without_more_samples_have_the_classes_of_mixvel_sample(opened: Run, plain: MixvelPipeline) -> None:
    sampler = opened.sampler(steps=3, device="cpu")
    turn = opened.condition([i % 2 for i in range(5)])
    same(samples(plain, 5, seed=2), sampler.sample(5, condition=turn, seed=2).x)


def test_classes_are_given_one_for_all_or_one_for_each(opened: Run, plain: MixvelPipeline) -> None:
    sampler = opened.sampler(steps=3, device="cpu")
    ones = sampler.sample(4, condition=opened.condition(1), seed=2).x
    for labels in (1, [1, 1, 1, 1], torch.ones(4, dtype=torch.int64)):
        same(samples(plain, 4, seed=2, class_labels=labels), ones)
    same(samples(plain, 4, seed=2, condition={"class": [1]}), ones)
    same(samples(plain, 4, seed=2, condition="null"), sampler.sample(4, seed=2).x)
    assert not torch.allclose(ones, samples(plain, 4, seed=2, class_labels=0))
    each = [torch.Generator().manual_seed(seed) for seed in (2, 2)]
    mixed = samples(plain, 2, generator=each, class_labels=[1, 0])
    same(mixed[:1], ones[:1])
    same(mixed[1:], samples(plain, 1, seed=2, class_labels=0))


def test_guidance_is_that_of_the_run(opened: Run, plain: MixvelPipeline, tmp_path: Path) -> None:
    ones = opened.condition(1)
    guided = opened.sampler(steps=3, guidance=3.0, device="cpu").sample(4, condition=ones, seed=2).x
    same(samples(plain, 4, seed=2, class_labels=1, guidance_scale=3.0), guided)
    row = pipeline(export_run(opened.folder, tmp_path / "row", [STEPS], method="guided"))
    same(samples(row, 4, seed=2, class_labels=1), guided)
    same(samples(row, 4, seed=2, class_labels=1, guidance_scale=1.0), samples(plain, 4, seed=2, class_labels=1))
    same(samples(row, 4, seed=2, condition="null"), samples(plain, 4, seed=2, condition="null"))
    assert "| guidance | cfg |" in (tmp_path / "row" / "README.md").read_text()


def test_a_weaker_model_is_exported_where_a_row_is_guided_by_it(
    opened: Run, plain: MixvelPipeline, tmp_path: Path
) -> None:
    use = {"use": "autoguidance", "scale": 2}
    away = opened.sampler(steps=3, guidance=use, device="cpu").sample(4, condition=opened.condition(1), seed=2).x
    made = pipeline(export_run(opened.folder, tmp_path / "away", [STEPS], method="away"))
    same(samples(made, 4, seed=2, class_labels=1), away)
    with pytest.raises(UsageError, match="by a weaker model, the monolith, and there is none"):
        plain(4, class_labels=1, guidance=use)


def test_the_monolith_of_another_family_has_conditions_of_its_own(opened: Run, tmp_path: Path) -> None:
    made = pipeline(export_run(opened.folder, tmp_path / "alone", [STEPS], method="alone"))
    sampler = opened.sampler(steps=3, monolith=True, device="cpu")
    same(samples(made, 4, seed=2, class_labels=0), sampler.sample(4, condition=opened.condition(0), seed=2).x)


def test_it_computes_in_two_types_and_refuses_others(opened: Run, tmp_path: Path) -> None:
    made = pipeline(export_run(opened.folder, tmp_path / "out", [STEPS]))
    assert not made.sampler_of().autocast
    made.to(torch.bfloat16)
    assert made.sampler_of().autocast
    assert (made.device, made.dtype) == (torch.device("cpu"), torch.bfloat16)
    made.to(torch.float16)
    with pytest.raises(UsageError, match=r"float32 or, by autocast, in bfloat16, and not in torch\.float16"):
        made(2)


def test_what_cannot_be_meant_gets_a_line(opened: Run, plain: MixvelPipeline, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give one of them"):
        plain(2, class_labels=1, condition="null")
    with pytest.raises(UsageError, match="there is no class 2"):
        plain(2, class_labels=2)
    with pytest.raises(UsageError, match="a condition of 3 rows for 2 samples"):
        plain(2, class_labels=[0, 1, 0])
    with pytest.raises(UsageError, match="guidance_scale is that of guidance cfg"):
        plain(2, class_labels=1, guidance_scale=2.0, guidance="cfg")
    made = pipeline(export_run(opened.folder, tmp_path / "items", [STEPS, "sample.condition=from-data"]))
    with pytest.raises(UsageError, match="conditions of items at random, which are not exported"):
        made(2)


def test_the_card_says_which_classes_there_are(opened: Run, tmp_path: Path) -> None:
    card = (export_run(opened.folder, tmp_path / "out", [STEPS]) / "README.md").read_text()
    assert "- `class`: 2 classes" in card
    assert "pipe(4, class_labels=0, seed=0)" in card
    assert "pipeline_tag" not in card
