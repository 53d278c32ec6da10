"""Exact Wasserstein-2: the least effort that carries one set of items onto the other."""

from __future__ import annotations

from attrs import frozen

from mixvel_core.field.transport import wasserstein_2
from mixvel_core.protocols import Score
from mixvel_core.protocols.items import Items
from mixvel_metrics.item_sets import check_sets, conditions, flat

NAME = "w2"


@frozen(kw_only=True)
class Wasserstein2:
    """W_2 between two sets of items of equal weight each, in the Euclidean norm of all their values.

    ``max_count``: the most items compared on each side, the first ones; the table of costs has its square.
    """

    max_count: int = 2000

    def score(self, samples: Items, reference: Items) -> Score:
        """sqrt(min over couplings of E ||x - y||^2), from ``samples`` (n, *data) to ``reference`` (m, *data).

        It depends on n and m: two independent sets of one law are not at distance zero.

        Raises:
            SamplingError, DataError: see ``check_sets``.
        """
        check_sets(NAME, samples, reference)
        x, y = samples[: self.max_count], reference[: self.max_count]
        stated = conditions(x, y, "pixels")
        for key, cut, whole in (("samples", x, samples), ("reference", y, reference)):
            if len(cut) < len(whole):
                stated[key] = f"the first {len(cut)}"
        return Score(name=NAME, value=wasserstein_2(flat(x), flat(y)), conditions=stated)
