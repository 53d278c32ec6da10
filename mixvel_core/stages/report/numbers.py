"""report.json: what the page shows, as numbers."""

from __future__ import annotations

from typing import Any

from attrs import asdict

from mixvel_core.recipe.dump import to_plain
from mixvel_core.stages.report.attributes import attribute_counts, shard_name
from mixvel_core.stages.report.calibration import measured
from mixvel_core.stages.report.inputs import Inputs
from mixvel_core.stages.report.origins import seeds, versions
from mixvel_core.stages.report.shards import label_counts
from mixvel_core.stages.report.tables import score_tables
from mixvel_core.stages.report.timings import seconds
from mixvel_core.stages.report.wording import learned_from


def numbers(inputs: Inputs) -> dict[str, Any]:
    """Everything but ``timings`` is the same for the same inputs. ``study`` is there if the run was studied."""
    return {
        "smoke": inputs.recipe.smoke,
        "table": _table(inputs),
        "floors": list(inputs.scores.floors),
        "noise": list(inputs.scores.noise),
        "calibration": [dict(row) for row in measured(inputs).rows],
        "routers": {name: {"learned_from": learned_from(use)} for name, use in inputs.recipe.routers.items()},
        "shards": [
            {
                "index": part.index,
                "name": shard_name(part),
                "count": part.count,
                "fraction": part.fraction,
                "labels": label_counts(part),
                "attributes": attribute_counts(part),
            }
            for part in inputs.shards.parts
        ],
        "seeds": seeds(inputs.recipe),
        "versions": versions(),
        "recipe": to_plain(inputs.recipe),
        "timings": seconds(inputs),
        **({"study": asdict(inputs.study)} if inputs.study else {}),
    }


def _table(inputs: Inputs) -> list[dict[str, Any]]:
    """A row for each cell of the tables: the mean over seeds, its spread, and the value of each seed."""
    return [
        {
            "metric": table.metric,
            "conditions": dict(table.conditions),
            "method": row.method,
            "steps": steps,
            "mean": cell.mean,
            "spread": cell.spread,
            "seeds": list(cell.values),
            "values": list(cell.values.values()),
            "evaluations": cell.evaluations,
            "best": cell.best,
        }
        for table in score_tables(inputs.scores, inputs.methods, inputs.steps)
        for row in table.rows
        for steps, cell in zip(table.steps, row.cells, strict=True)
        if cell is not None
    ]
