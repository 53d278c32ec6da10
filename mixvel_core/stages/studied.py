"""study.json: what a study found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from mixvel_core.errors import ArtifactError
from mixvel_core.files import read_sealed_json, write_sealed_json

FILE = "study.json"


@frozen(kw_only=True)
class Study:
    """``rows``: {selector, integrator, grid, steps, evaluations, rms, median, mean_square, p90}, evaluations being the
    mean of expert calls per sample. ``slopes``: {selector, integrator, grid, quantity, slope, low, high, r2, range,
    flattens, at_floor} (see ``PowerLaw``). ``floor``: the same statistics of the reference against a looser one, an
    estimate of its own error. ``reference``: how it was made. ``conditions``: everything the numbers hold for.
    """

    rows: tuple[dict[str, Any], ...]
    slopes: tuple[dict[str, Any], ...]
    floor: Mapping[str, float]
    reference: Mapping[str, Any]
    conditions: Mapping[str, Any]


def write_study(study: Study, folder: Path) -> Path:
    """Writes ``study.json``; the same study gives the same bytes."""
    write_sealed_json(folder / FILE, asdict(study))
    return folder / FILE


def read_study(folder: Path) -> Study | None:
    """The study of a run; None where there is none. Raises ArtifactError where it is damaged."""
    path = folder / FILE
    if not path.exists():
        return None
    found = read_sealed_json(path)
    try:
        return Study(
            rows=tuple(found["rows"]),
            slopes=tuple(found["slopes"]),
            floor=found["floor"],
            reference=found["reference"],
            conditions=found["conditions"],
        )
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: not a study's ({error}); `mixvel study {folder}` makes it again") from None
