"""fid: the Frechet distance of Inception features, with the statistics of the reference kept if asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attrs import evolve, frozen

from mixvel_core.errors import DataError
from mixvel_core.protocols import Score
from mixvel_core.protocols.items import Items
from mixvel_metrics.comparison import Comparison, Further, Names
from mixvel_metrics.features import BLOCK
from mixvel_metrics.inception import Inception
from mixvel_metrics.item_sets import conditions
from mixvel_metrics.statistics_file import read_statistics, write_statistics


@frozen(kw_only=True, eq=False)
class FID:
    """FID-N for N samples, with KID, precision and recall of the same features if ``further`` asks for them.

    ``statistics``: a file that keeps the reference's mean and covariance; it is written where there is none, and
    refused where it was made in other conditions.
    """

    inception: Inception
    further: tuple[Further, ...] = ()
    statistics: str | None = None

    def score(self, samples: Items, reference: Items) -> Score:
        """The FID of ``samples`` (n, 3, H, W) against ``reference`` (m, 3, H, W), in [-1, 1].

        It falls as n and m grow, so it is comparable at equal n and m only.

        Raises:
            DataError: items that are no RGB images, too few of them, or stored statistics of something else.
            SamplingError: samples that are not finite.
        """
        return self.against(reference).scores(samples)[0]

    def against(self, reference: Items) -> _Numbered:
        """All scores against ``reference``, whose features are computed once."""
        shape = reference.shape[1:]
        if len(shape) != 3 or shape[0] != 3:
            raise DataError(
                f"metric fid: Inception reads RGB images (3, H, W), not items of shape {shape}; "
                "use {use: frechet, features: random-conv}"
            )
        comparison = Comparison(
            space=self.inception,
            names=self._names(),
            reference=reference,
            further=self.further,
        )
        if self.statistics is None:
            return _Numbered(comparison=comparison)
        path = Path(self.statistics).expanduser()
        stated = {**_reference_conditions(reference, self.inception), "data": digest(reference)}
        fitted = read_statistics(path, stated) if path.exists() else comparison.gaussian
        if not path.exists():
            write_statistics(path, fitted, stated)
        return _Numbered(comparison=evolve(comparison, fitted=fitted))

    def _names(self) -> Names:
        if not self.inception.is_official:
            return Names.of(self.inception.name)
        return Names(frechet="fid", kernel="kid", precision="precision", recall="recall")


@frozen(kw_only=True, eq=False)
class _Numbered:
    """Scores whose names carry the number of samples: FID-5000 and FID-50000 are different quantities."""

    comparison: Comparison

    def scores(self, samples: Items) -> Sequence[Score]:
        """See ``Comparison.scores``."""
        return [evolve(score, name=f"{score.name}-{len(samples)}") for score in self.comparison.scores(samples)]


def digest(items: Items) -> str:
    """A digest of items in their order, read a block at a time."""
    found = hashlib.blake2b(f"{items.shape}".encode(), digest_size=16)
    for start in range(0, len(items), BLOCK):
        found.update(np.ascontiguousarray(items[start : start + BLOCK], dtype="<f4").data)
    return found.hexdigest()


def _reference_conditions(reference: Items, inception: Inception) -> dict[str, str]:
    stated = conditions(reference, reference, inception.description)
    return {name: stated[name] for name in ("reference", "shape", "features")}
