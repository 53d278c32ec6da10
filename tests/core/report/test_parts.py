from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_plugins import CountOptions, NetOptions, definition

from mixvel_core.artifacts.files import write_json
from mixvel_core.pipeline.shards import Shards, open_shards
from mixvel_core.plugin.definition import NoOptions, SelectorUse
from mixvel_core.report.figures import amount, brief, number, plus_minus, shape_text
from mixvel_core.report.inputs import at_random, evenly_spaced
from mixvel_core.report.routing import by_time
from mixvel_core.report.samples import plane_of
from mixvel_core.report.training import running_mean
from mixvel_core.training.options import TrainOptions


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    """Items 0, 1, ... 14 in shards of 1, 10 and 4."""
    items = np.arange(15, dtype=np.float32)[:, None]
    parts = (items[:1], items[1:11], items[11:])
    for k, part in enumerate(parts):
        facts = {"count": len(part), "fraction": len(part) / 15, "shape": [1], "labels": {}}
        write_json(tmp_path / str(k) / "shard.json", facts)
        np.save(tmp_path / str(k) / "items.npy", part)
    write_json(tmp_path / "data.json", {"shards": 3, "count": 15, "shape": [1], "provenance": {}})
    return open_shards(tmp_path, "key")


def test_items_at_random_are_items_of_all_shards_each_once(shards: Shards) -> None:
    everything = at_random(shards, 99, seed=1)[:, 0]
    assert sorted(everything) == list(range(15))
    assert list(everything) != sorted(everything)
    some = at_random(shards, 6, seed=1)[:, 0]
    assert len(set(some)) == 6
    assert np.array_equal(some, at_random(shards, 6, seed=1)[:, 0])


def test_items_at_even_distances_reach_from_first_to_last(shards: Shards) -> None:
    assert evenly_spaced(shards.parts[1], 4)[:, 0].tolist() == [1, 4, 7, 10]
    assert evenly_spaced(shards.parts[2], 99)[:, 0].tolist() == [11, 12, 13, 14]
    assert evenly_spaced(shards.parts[0], 5)[:, 0].tolist() == [0]


def test_a_plane_keeps_distances_of_items_that_lie_in_one() -> None:
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.standard_normal((6, 2)))
    flat = rng.standard_normal((50, 2)) * [3.0, 1.0]
    items = (flat @ basis.T + 5.0).reshape(50, 2, 3)
    plane = plane_of(items)
    seen = plane.of(items)
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    assert np.allclose(np.linalg.norm(seen[:, None] - seen[None], axis=2), apart)
    assert seen[:, 0].var() > seen[:, 1].var()
    # The sign of a direction is settled by itself, not by the order of the items.
    assert np.allclose(plane_of(items[::-1]).axes, plane.axes)


@pytest.mark.parametrize("dimension", [1, 2])
def test_few_coordinates_are_shown_as_they_are(dimension: int) -> None:
    items = np.random.default_rng(0).standard_normal((5, dimension))
    plane = plane_of(items)
    assert np.array_equal(plane.of(items), items)
    assert len(plane.names) == dimension


def test_a_single_item_has_a_plane_too() -> None:
    item = np.arange(4.0)[None]
    assert plane_of(item).of(item).tolist() == [[0.0, 1.0]]


def test_calls_at_one_time_are_taken_together() -> None:
    times = np.array([1.0, 0.5, 0.5, 0.1])
    shares = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.25, 0.75]])
    distinct, mean = by_time(times, shares)
    assert distinct.tolist() == [1.0, 0.5, 0.1]
    assert mean.tolist() == [[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]]


def test_running_mean_of_a_few_and_of_many() -> None:
    assert running_mean(np.array([3.0, 1.0])).tolist() == [3.0, 1.0]
    values = np.arange(60.0)  # a window of three
    assert running_mean(values)[:4].tolist() == [0.0, 0.5, 1.0, 2.0]
    assert running_mean(values)[-1] == 58.0


def test_numbers_spreads_amounts_and_shapes() -> None:
    values = (1.2, 0.012346, 1234.4, 0.0, 123456.0)
    assert [number(v) for v in values] == ["1.200", "0.01235", "1234", "0.000", "1.23e+05"]
    assert [plus_minus(v) for v in (0.0166, 0.4, 12.3, 1234.0)] == ["0.017", "0.40", "12", "1.23e+03"]
    assert [amount(v) for v in (40, 1797.0, 12.5)] == ["40", "1,797", "12.5"]
    assert [shape_text(s) for s in ((16,), (1, 8, 8))] == ["16 dimensions", "1 × 8 × 8"]


def test_a_plugin_is_named_with_what_is_not_its_default() -> None:
    made = definition("selector", "some", NetOptions)
    full = NetOptions(channels=(3,), prediction="eps", train=TrainOptions(steps=3))
    assert brief(SelectorUse(definition=made, options=full)) == "some (channels=[3], prediction=eps)"
    counted = SelectorUse(definition=definition("selector", "top", CountOptions), options=CountOptions(count=2))
    assert brief(counted) == "top (count=2)"
    assert brief(SelectorUse(definition=definition("selector", "none"), options=NoOptions())) == "none"
