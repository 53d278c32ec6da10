"""study.json and theory.json: what a study and a theory report hold, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from attrs import NOTHING, AttrsInstance, asdict, field, fields_dict, frozen, has

from mixvel_core.analysis.convergence import ErrorStatistics, PowerLaw, Quantity, Takeover
from mixvel_core.artifacts.files import digest_of, read_checksummed_json, write_checksummed_json
from mixvel_core.errors import ArtifactError
from mixvel_core.field.transport import Transport
from mixvel_core.theory.bound import Bound, Epsilon, TwoBounds

STUDY_FILE, THEORY_FILE = "study.json", "theory.json"


@frozen(kw_only=True)
class StudyRow(ErrorStatistics):
    """One curve at one step count. ``evaluations``: expert calls of a sample, ``flops``: of experts and router for it,
    means over samples. ``round_trip``: the median of ||decoded - x|| / ||x|| over items that the curve encodes and
    decodes; None where it follows no ODE."""

    selector: str
    integrator: str
    grid: str
    steps: int
    evaluations: float
    flops: float
    round_trip: float | None = None


@frozen(kw_only=True)
class SlopeRow(PowerLaw):
    """The power law of one quantity of one curve."""

    selector: str
    integrator: str
    grid: str
    quantity: Quantity


@frozen(kw_only=True)
class LikelihoodRow:
    """``model``: ``mixture``, by the flow of all experts; ``experts``, log sum_k pi_k p^k with each expert's own flow;
    or ``monolith``. ``nll``: bits per dimension, the mean over items, with its standard error."""

    model: str
    nll: float
    error: float


@frozen(kw_only=True)
class StudyResult:
    """``floor``: the same statistics of the reference against a looser one, an estimate of its own error.
    ``reference``: how it was made. ``conditions``: everything the numbers hold for. ``timings``: of every row, in their
    order, the seconds of one sample; nothing else differs between two studies of the same models. ``likelihood``: empty
    where it was not computed. ``interpolation``: the ``file`` in ``study/`` of the run that holds ``items`` and what
    lies ``between`` them, how many ``parts`` and ``steps``; empty where there is none.
    """

    rows: tuple[StudyRow, ...]
    slopes: tuple[SlopeRow, ...]
    floor: ErrorStatistics
    reference: Mapping[str, Any]
    conditions: Mapping[str, Any]
    timings: tuple[float, ...]
    likelihood: tuple[LikelihoodRow, ...] = ()
    interpolation: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class ConstantRow(Bound):
    """A constant or bound beside what was measured, at the largest step count; all logarithms are finite or None."""

    measured_log10: float | None


@frozen(kw_only=True)
class DistanceRow(TwoBounds):
    """Theorem 8's two sides. The bounds are those of `euler` with `iid`, `sum-up`, `switching` and `mixture`, the
    paper's of `iid` and, with a smaller C_sig, of `switching`, and None elsewhere.

    ``rms``: the coupling that the proof uses, an upper bound of W_2. ``w2``: of sets from the same noise, with a 95%
    interval. ``independent``: of sets from different noise, to be compared with the report's ``floor``.
    """

    selector: str
    integrator: str
    steps: int
    evaluations: float
    rms: float
    median: float
    w2: float
    w2_low: float
    w2_high: float
    independent: float


@frozen(kw_only=True)
class BudgetRow:
    """Mean squares of the parts of one step's increment (``theory.increments``), the largest of which is ``dominant``,
    and of the error after the step."""

    selector: str
    integrator: str
    steps: int
    t: float
    drift: float
    truncation: float
    selection: float
    network: float
    error: float
    dominant: str


@frozen(kw_only=True)
class AccumulatedRow:
    """RMS of what all steps together add besides drift. ``method``: truncation and selection."""

    selector: str
    integrator: str
    steps: int
    method: float
    network: float


@frozen(kw_only=True)
class TakeoverRow(Takeover):
    """From which step count on the networks' part of a curve's error exceeds the method's."""

    selector: str
    integrator: str


@frozen(kw_only=True)
class LipschitzRow:
    """Local Lipschitz constants of v at time t along exact trajectories, beside the bounds of Theorem 3."""

    t: float
    median: float
    largest: float
    paper: float
    sharp: float


@frozen(kw_only=True)
class EpsilonRow(Epsilon):
    """At times from ``low`` to ``high``."""

    low: float
    high: float


@frozen(kw_only=True)
class TheoryReport:
    """``budget``: for the largest step count. ``lipschitz``: along exact trajectories, rising in t. ``floor``: W_2 of
    two independent exact sets. ``diameter``: distances above it bound nothing. ``warnings``: conditions of the theory
    that fail. ``conditions``: everything the numbers hold for.
    """

    constants: tuple[ConstantRow, ...]
    distances: tuple[DistanceRow, ...]
    budget: tuple[BudgetRow, ...]
    accumulated: tuple[AccumulatedRow, ...]
    takeover: tuple[TakeoverRow, ...]
    lipschitz: tuple[LipschitzRow, ...]
    epsilon: tuple[EpsilonRow, ...]
    floor: Transport
    diameter: float
    warnings: tuple[str, ...]
    conditions: Mapping[str, Any]


def write_record(record: StudyResult | TheoryReport, folder: Path) -> None:
    """Writes ``study.json`` or ``theory.json``; the same record gives the same bytes. What was measured before by other
    settings goes to ``questions/``, by a name that follows from them."""
    path = folder / (STUDY_FILE if isinstance(record, StudyResult) else THEORY_FILE)
    with suppress(ArtifactError):
        before = read_checksummed_json(path)
        settings = digest_of(before.get("conditions"))
        if settings != digest_of(record.conditions):
            write_checksummed_json(folder / "questions" / f"{path.stem}-{settings[:8]}.json", before)
    write_checksummed_json(path, asdict(record))


def read_study(folder: Path) -> StudyResult | None:
    """The study of a run; None where there is none. Raises ArtifactError where it is damaged."""
    return _read(StudyResult, folder / STUDY_FILE, f"`mixvel study {folder}`")


def read_theory_report(folder: Path) -> TheoryReport | None:
    """The theory report of a run; None where there is none. Raises ArtifactError where it is damaged."""
    return _read(TheoryReport, folder / THEORY_FILE, f"`mixvel theory {folder}`")


Record = TypeVar("Record", StudyResult, TheoryReport)
RowT = TypeVar("RowT", bound=AttrsInstance)


def _read(cls: type[Record], path: Path, again: str) -> Record | None:
    if not path.exists():
        return None
    found = read_checksummed_json(path)
    try:
        return restored(cls, found)
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: not one of this version ({error}); {again} makes it again") from None


def restored(cls: type[RowT], found: Mapping[str, Any]) -> RowT:
    """The record or row that ``found`` was written from by ``attrs.asdict``, with its rows and tuples.

    Raises KeyError or TypeError where it is none of this version.
    """
    types = get_type_hints(cls)
    # What has a default was not measured by earlier versions.
    known = [name for name, one in fields_dict(cls).items() if name in found or one.default is NOTHING]
    return cls(**{name: _value(found[name], types[name]) for name in known})


def _value(found: Any, annotation: Any) -> Any:
    """A value as its field has it: a row of the class that the annotation names, a tuple, or what it is."""
    if isinstance(found, list):
        inner = [*get_args(annotation), None]
        return tuple(_value(one, inner[0]) for one in found)
    return restored(annotation, found) if has(annotation) else found
