"""Statistics of a reference in a file: mean, covariance, and the conditions they were measured in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from mixvel_core.errors import DataError
from mixvel_core.files import replacing
from mixvel_metrics.moments import Gaussian


def write_statistics(path: Path, fitted: Gaussian, stated: Mapping[str, str]) -> None:
    """Writes an NPZ of ``mean`` (D,), ``covariance`` (D, D) and ``conditions`` (JSON), whole or not at all.

    Raises DataError where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, temporary.open("wb") as file:
            text = json.dumps(dict(stated), sort_keys=True)
            np.savez(file, mean=fitted.mean, covariance=fitted.covariance, conditions=np.array(text))
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error}); choose another place for the statistics") from None


def read_statistics(path: Path, wanted: Mapping[str, str]) -> Gaussian:
    """The Gaussian in ``path``, if it was measured in the conditions ``wanted``.

    Raises:
        DataError: a damaged file, one without conditions, or other conditions; names each that differs.
    """
    try:
        # Opened here: NumPy leaves a file open that it cannot read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if "conditions" not in arrays:
                raise DataError(
                    f"{path}: says nothing of the conditions it was measured in, so nothing can be compared with it; "
                    "leave it out, and the statistics are computed"
                )
            stated = json.loads(str(arrays["conditions"]))
            fitted = Gaussian(mean=arrays["mean"], covariance=arrays["covariance"])
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, BadZipFile) as error:
        raise DataError(f"{path}: not statistics of a reference ({error}); remove it to have them computed") from None
    if different := [name for name in sorted({*wanted, *stated}) if stated.get(name) != wanted.get(name)]:
        told = "; ".join(f"{name} is {stated.get(name)}, not {wanted.get(name)}" for name in different)
        raise DataError(f"{path}: measured in other conditions ({told}); name another file, or remove this one")
    d = len(fitted.mean)
    if fitted.covariance.shape != (d, d) or not np.isfinite(fitted.covariance).all():
        raise DataError(f"{path}: damaged (no covariance of {d} values); remove it to have them computed")
    return fitted
