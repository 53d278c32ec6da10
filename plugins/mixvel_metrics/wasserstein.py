"""Exact and sliced Wasserstein-2 between samples and data."""

from __future__ import annotations

import math

import numpy as np
from attrs import frozen

from mixvel_core.field.transport import directions, sliced_squares, wasserstein_2
from mixvel_core.protocols import Score
from mixvel_core.protocols.data import Items
from mixvel_metrics.features import check_sets, conditions, flat
from mixvel_metrics.options import SlicedWasserstein2Options, Wasserstein2Options

W2 = "w2"


@frozen(kw_only=True)
class Wasserstein2(Wasserstein2Options):
    """W_2 between two sets of items of equal weight each, in the Euclidean norm of all their values."""

    def score(self, samples: Items, reference: Items) -> Score:
        """sqrt(min over couplings of E ||x - y||^2), from ``samples`` (n, *data) to ``reference`` (m, *data).

        It depends on n and m: two independent sets of one law are not at distance zero. Raises as ``check_sets``.
        """
        check_sets(W2, samples, reference)
        x, y = samples[: self.max_count], reference[: self.max_count]
        stated = conditions(x, y, "pixels")
        for name, cut, items in (("samples", x, samples), ("reference", y, reference)):
            if len(cut) < len(items):
                stated[name] = f"the first {len(cut)}"
        return Score(name=W2, value=wasserstein_2(flat(x), flat(y)), conditions=stated)


SLICED_W2 = "sliced-w2"


@frozen(kw_only=True)
class SlicedWasserstein2(SlicedWasserstein2Options):
    """Sliced W_2 between two sets of items of equal weight each, read a block at a time, in the same directions."""

    def score(self, samples: Items, reference: Items) -> Score:
        """sqrt(mean over directions of W_2^2 of the shadows), ``samples`` (n, *data), ``reference`` (m, *data).

        Over all directions it is at most the exact W_2 divided by sqrt(D); in one dimension it is the exact W_2.
        Raises as ``check_sets``.
        """
        check_sets(SLICED_W2, samples, reference)
        dimension = math.prod(samples.shape[1:])
        squares = sliced_squares(samples, reference, directions(dimension, self.projections, self.seed))
        return Score(
            name=SLICED_W2,
            value=float(np.sqrt(squares.mean())),
            conditions={
                **conditions(samples, reference, "pixels"),
                "projections": f"{self.projections} (seed {self.seed})",
            },
        )
