"""Everything that is installed passes the checks of its kind."""

from __future__ import annotations

import pytest

from mixvel_core.plugin.discovery import Entry, load_registry
from mixvel_core.testing import run_checks

SLOW = {("launcher", "ray")}
"""Its checks start workers, two minutes in all: `mixvel plugins check ray` runs them."""

ENTRIES = [entry for entry in load_registry().entries() if (entry.kind, entry.name) not in SLOW]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_it_passes_every_check(entry: Entry) -> None:
    results = list(run_checks(entry.kind, entry.definition.example))
    assert len(results) >= 4
    assert {result.check.name: f"{result.what}; {result.fix}" for result in results if result.error} == {}


def test_every_kind_is_among_them() -> None:
    assert {entry.kind for entry in ENTRIES} == {
        "schedule", "expert", "router", "selector", "integrator", "data", "partitioner", "metric", "launcher"
    }  # fmt: skip
