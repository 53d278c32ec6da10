"""Samples under classes in the report: a row a class, lines by scale, and which experts make which class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from report_runs import Scored, scored
from whole_runs import LABELLED, TRAINED

from mixvel_core.report.conditions import by_scale, class_shares, conditions, scale_of
from mixvel_core.report.samples import Picture

TURNED = LABELLED.replace("sample:\n  count: 8", "sample:\n  count: 24").replace(
    "    guided: {guidance: {use: cfg, scale: 3}}\n",
    "    guided: {guidance: {use: cfg, scale: 3}}\n"
    "    more: {guidance: {use: cfg, scale: 5}}\n"
    "    inside: {guidance: {use: cfg, scale: 3, high: 0.7}}\n",
)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    return scored(TURNED, tmp_path_factory.mktemp("labelled") / "run")


def test_rows_that_differ_by_the_scale_alone_are_one_line(vectors: Scored, tmp_path: Path) -> None:
    lines = by_scale(vectors.inputs(tmp_path))
    rows = [[one.row for one in line.sets.values()] for line in lines]
    assert rows == [["alone"], ["given", "guided", "more"], ["inside"], ["away"]]
    [given] = [line for line in lines if len(line.sets) == 3]
    assert given.scales == ("w = 1", "w = 3", "w = 5")
    assert [scale_of(one) for one in given.sets.values()] == [1.0, 3.0, 5.0]
    [inside] = [line for line in lines if "inside" in [one.row for one in line.sets.values()]]
    assert inside.name.endswith("high=0.7")


def test_shares_of_experts_by_class() -> None:
    found = class_shares(np.array([0, 0, 0, 1, 3]), np.array([0, 1, 1, 0, 0]), C=3, K=2)
    np.testing.assert_allclose(found, [[1 / 3, 2 / 3], [1.0, 0.0], [np.nan, np.nan]])


def test_vectors_have_charts_and_no_pictures(vectors: Scored, tmp_path: Path) -> None:
    found = conditions(vectors.inputs(tmp_path))
    assert found is not None
    assert found.pictures == () == found.real
    assert found.classes == ("0", "1")
    assert found.against_scale is not None
    assert found.experts is not None
    page = vectors.report(tmp_path / "report").path.read_text()
    assert 'id="conditions"' in page
    assert "mixture · ddim · uniform · cfg (scale=3.0)" in page
    assert "mixture · ddim · uniform · autoguidance" in page
    assert "class: class" in page


def test_images_have_a_row_a_class(tmp_path: Path) -> None:
    run = scored(
        TRAINED,
        tmp_path / "run",
        "condition={class: labels}",
        "sample.count=20",
        "sample.methods={plain: {}, guided: {guidance: {use: cfg, scale: 2}}}",
    )
    found = conditions(run.inputs(tmp_path / "run"))
    assert found is not None
    assert (len(found.classes), found.count, len(found.real)) == (10, 10, 10)
    [pictures] = found.pictures
    assert pictures.method.scales == ("w = 1", "w = 2")
    # Twenty samples of ten classes in turn: two of each, side by side.
    assert all(isinstance(one, Picture) for row in pictures.rows for one in row)
    assert len(pictures.rows) == 10


def test_a_run_without_conditions_has_no_such_section(tmp_path: Path) -> None:
    run = scored(LABELLED, tmp_path / "run", "sample.condition=null", "sample.methods={given: {}}")
    assert conditions(run.inputs(tmp_path / "run")) is None
