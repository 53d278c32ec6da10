"""theory.json: what the theory says of a run, and what was measured beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, fields, frozen

from mixvel_core.errors import ArtifactError
from mixvel_core.files import read_sealed_json, write_sealed_json

FILE = "theory.json"


@frozen(kw_only=True)
class Certificate:
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


def write_certificate(certificate: Certificate, folder: Path) -> Path:
    """Writes ``theory.json``; the same certificate gives the same bytes."""
    write_sealed_json(folder / FILE, asdict(certificate))
    return folder / FILE


def read_certificate(folder: Path) -> Certificate | None:
    """The certificate of a run; None where there is none. Raises ArtifactError where it is damaged."""
    path = folder / FILE
    if not path.exists():
        return None
    found = read_sealed_json(path)
    try:
        values = {field.name: found[field.name] for field in fields(Certificate)}
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return Certificate(**{**values, **lists})
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: not a certificate ({error}); `mixvel theory {folder}` makes it again") from None
