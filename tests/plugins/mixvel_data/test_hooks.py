"""Definitions: importing them is cheap, and every example works."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from attrs import evolve, resolve_types

from mixvel_core.protocols import Data
from mixvel_data.hooks import mixvel_data, mixvel_partitioners
from mixvel_data.options import LabelsOptions


def test_definitions_import_nothing_heavy() -> None:
    code = "import sys, mixvel_data.hooks; print({'numpy', 'torch', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_names() -> None:
    assert [definition.name for definition in mixvel_data()] == ["digits", "numpy", "parquet"]
    assert [definition.name for definition in mixvel_partitioners()] == ["labels", "attributes", "kmeans"]


@pytest.mark.parametrize("definition", [*mixvel_data(), *mixvel_partitioners()], ids=lambda d: str(d.name))
def test_option_types_can_be_read(definition: object) -> None:
    resolve_types(definition.options)  # type: ignore[attr-defined]  # parametrize hands over objects


@pytest.mark.parametrize("definition", mixvel_data(), ids=lambda d: str(d.name))
def test_examples_load(definition: object) -> None:
    data = definition.example().load()  # type: ignore[attr-defined]  # parametrize hands over objects
    assert isinstance(data, Data)
    assert data.labels is not None
    assert len(data.labels) == len(data.items)


@pytest.mark.parametrize("definition", mixvel_partitioners(), ids=lambda d: str(d.name))
def test_examples_split_the_two_classes_of_the_example_data(definition: object) -> None:
    data = mixvel_data()[1].example().load()
    assert data.labels is not None
    data = evolve(data, attributes={"group": data.labels == 1})
    shards = definition.example().assign(data, 0)  # type: ignore[attr-defined]  # parametrize hands over objects
    assert shards.dtype == np.int64
    assert sorted(np.unique(shards[data.labels == label]).tolist() for label in (0, 1)) == [[0], [1]]


@pytest.mark.parametrize("groups", [(), ((),), ((1, 2), (2, 3)), ((1, 1),)])
def test_groups_that_are_none(groups: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="no label twice"):
        evolve(LabelsOptions(), groups=groups)
