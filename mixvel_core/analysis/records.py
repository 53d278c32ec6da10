"""study.json and theory.json: what a study and a theory report hold, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, fields, frozen

from mixvel_core.artifacts.files import read_checksummed_json, write_checksummed_json
from mixvel_core.errors import ArtifactError

STUDY_FILE = "study.json"


@frozen(kw_only=True)
class StudyResult:
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


def write_study(study: StudyResult, folder: Path) -> Path:
    """Writes ``study.json``; the same study gives the same bytes."""
    write_checksummed_json(folder / STUDY_FILE, asdict(study))
    return folder / STUDY_FILE


def read_study(folder: Path) -> StudyResult | None:
    """The study of a run; None where there is none. Raises ArtifactError where it is damaged."""
    path = folder / STUDY_FILE
    if not path.exists():
        return None
    found = read_checksummed_json(path)
    try:
        return StudyResult(
            rows=tuple(found["rows"]),
            slopes=tuple(found["slopes"]),
            floor=found["floor"],
            reference=found["reference"],
            conditions=found["conditions"],
        )
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: not a study's ({error}); `mixvel study {folder}` makes it again") from None


THEORY_FILE = "theory.json"


@frozen(kw_only=True)
class TheoryReport:
    """All numbers are finite or None; those called log10 are logarithms, for the paper's bounds overflow.

    ``constants``: {name, title, where, paper_log10, sharp_log10, measured_log10, paper_vacuous, sharp_vacuous} for the
    largest step count.
    ``distances``: {selector, integrator, steps, evaluations, paper_log10, sharp_log10, paper_vacuous, sharp_vacuous,
    rms, median, w2, w2_low, w2_high, independent}: Theorem 8's two sides. The bounds are those of `euler` with
    `iid`, `sum-up` and `mixture` (the paper's: of `iid`), and None elsewhere. ``rms`` is the coupling that the proof
    uses, an upper bound of W_2; ``w2`` is of sets from the same noise, ``independent`` of sets from different noise, to
    be compared with ``floor``.
    ``budget``: {selector, integrator, steps, t, drift, truncation, selection, network, error, dominant}: mean squares
    of the parts of the increments, for the largest step count.
    ``accumulated``: {selector, integrator, steps, method, network}: RMS of what all steps together add besides drift.
    ``takeover``: {selector, integrator, steps, slope, low, high, says}: where the network part takes over.
    ``lipschitz``: {t, median, largest, paper, sharp}: local Lipschitz constants along exact trajectories.
    ``epsilon``: {low, high, er_sup, er_rms, ec_sup, ec_rms, count}.
    ``floor``: {value, low, high, kind, n}: W_2 of two independent exact sets. ``diameter``: bounds above are vacuous.
    ``warnings``: conditions of the theory that fail. ``conditions``: everything the numbers hold for.
    """

    constants: tuple[dict[str, Any], ...]
    distances: tuple[dict[str, Any], ...]
    budget: tuple[dict[str, Any], ...]
    accumulated: tuple[dict[str, Any], ...]
    takeover: tuple[dict[str, Any], ...]
    lipschitz: tuple[dict[str, Any], ...]
    epsilon: tuple[dict[str, Any], ...]
    floor: Mapping[str, Any]
    diameter: float
    warnings: tuple[str, ...]
    conditions: Mapping[str, Any]


def write_theory_report(certificate: TheoryReport, folder: Path) -> Path:
    """Writes ``theory.json``; the same certificate gives the same bytes."""
    write_checksummed_json(folder / THEORY_FILE, asdict(certificate))
    return folder / THEORY_FILE


def read_theory_report(folder: Path) -> TheoryReport | None:
    """The certificate of a run; None where there is none. Raises ArtifactError where it is damaged."""
    path = folder / THEORY_FILE
    if not path.exists():
        return None
    found = read_checksummed_json(path)
    try:
        values = {field.name: found[field.name] for field in fields(TheoryReport)}
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return TheoryReport(**{**values, **lists})
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: not a certificate ({error}); `mixvel theory {folder}` makes it again") from None
