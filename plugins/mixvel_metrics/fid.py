"""fid: the Frechet distance of Inception's features, and the file that keeps mean and covariance of a reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import numpy as np
from attrs import evolve, frozen

from mixvel_core.artifacts.arrays import read_arrays, write_arrays
from mixvel_core.artifacts.files import digest
from mixvel_core.errors import ArtifactError, DataError
from mixvel_core.machine import from_home
from mixvel_core.protocols import Score
from mixvel_core.protocols.data import Items
from mixvel_metrics.comparison import Comparison, names_in
from mixvel_metrics.features import BLOCK, conditions
from mixvel_metrics.inception import Inception, load_inception
from mixvel_metrics.options import Further
from mixvel_metrics.statistics import Gaussian

OFFICIAL_NAMES = {"frechet": "fid", "kernel": "kid", "precision": "precision", "recall": "recall"}
"""What scores are called with the weights that the name FID stands for."""


def write_statistics(path: Path, fitted: Gaussian, stated: Mapping[str, str]) -> None:
    """Writes an NPZ of ``mean`` (D,), ``covariance`` (D, D) and ``conditions`` (JSON), whole or not at all.

    Raises DataError where it cannot be written.
    """
    text = np.array(json.dumps(dict(stated), sort_keys=True))
    try:
        write_arrays(path, {"mean": fitted.mean, "covariance": fitted.covariance, "conditions": text})
    except (ArtifactError, OSError) as error:
        raise DataError(f"{path}: cannot be written ({error}); choose another place for the statistics") from None


def read_statistics(path: Path, wanted: Mapping[str, str]) -> Gaussian:
    """The Gaussian in ``path``, if it was measured in the conditions ``wanted``.

    Raises DataError for a damaged file, one without conditions, or other conditions; names each that differs.
    """
    text, mean, covariance = read_arrays(path, "conditions", "mean", "covariance", refuse=_not_statistics)
    try:
        stated = dict(json.loads(str(text)))
    except (ValueError, TypeError) as error:
        raise _not_statistics(path, str(error)) from None
    if different := [name for name in sorted({*wanted, *stated}) if stated.get(name) != wanted.get(name)]:
        reasons = "; ".join(f"{name} is {stated.get(name)}, not {wanted.get(name)}" for name in different)
        raise DataError(f"{path}: measured in other conditions ({reasons}); name another file, or remove this one")
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or not np.isfinite(covariance).all():
        raise _not_statistics(path, f"no covariance of {mean.size} values")
    return Gaussian(mean=mean, covariance=covariance)


def _not_statistics(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path}: not statistics of a reference with their conditions ({reason}); remove it to have them computed"
    )


def make_fid(*, weights: str | None, further: tuple[Further, ...], statistics: str | None) -> FID:
    """FID by the network whose weights are in the file ``weights``, or where torch-fidelity keeps them if None."""
    return FID(inception=load_inception(weights), further=further, statistics=statistics)


@frozen(kw_only=True, eq=False)
class FID:
    """FID-N for N samples, with KID, precision and recall of the same features if ``further`` names them.

    ``statistics``: a file that keeps the reference's mean and covariance; it is written where there is none, and
    refused where it was made in other conditions.
    """

    inception: Inception
    further: tuple[Further, ...] = ()
    statistics: str | None = None

    def score(self, samples: Items, reference: Items) -> Score:
        """The FID of ``samples`` (n, 3, H, W) against ``reference`` (m, 3, H, W), in [-1, 1].

        It falls as n and m grow, so it is comparable at equal n and m only. Raises DataError for items that are no RGB
        images, too few of them, or stored statistics of something else; SamplingError for samples that are not finite.
        """
        return self.against(reference).scores(samples)[0]

    def against(self, reference: Items) -> Comparison:
        """All scores against ``reference``, whose features are computed once."""
        shape = reference.shape[1:]
        if len(shape) != 3 or shape[0] != 3:
            raise DataError(
                f"metric fid: Inception reads RGB images (3, H, W), not items of shape {shape}; "
                "use {use: frechet, features: random-conv}"
            )
        comparison = Comparison(
            space=self.inception,
            names=OFFICIAL_NAMES if self.inception.is_official else names_in(self.inception.name),
            reference=reference,
            further=self.further,
            numbered=True,
        )
        if self.statistics is None:
            return comparison
        path = from_home(self.statistics)
        stated = conditions(reference, reference, self.inception.description) | {"data": items_digest(reference)}
        del stated["samples"]
        if path.exists():
            return evolve(comparison, fitted=read_statistics(path, stated))
        write_statistics(path, comparison.gaussian, stated)
        return comparison


def items_digest(items: Items) -> str:
    """A digest of items in their order, read a block at a time."""
    blocks = (items[start : start + BLOCK] for start in range(0, len(items), BLOCK))
    return digest(chain([f"{items.shape}".encode()], (np.ascontiguousarray(b, dtype="<f4").data for b in blocks)))
