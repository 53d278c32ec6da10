"""frechet: samples against data in a named feature space that needs no download."""

from __future__ import annotations

from attrs import frozen

from mixvel_core.protocols import Score
from mixvel_core.protocols.items import Items
from mixvel_metrics.comparison import Comparison, Further, Names
from mixvel_metrics.features import FeatureName, feature_space


@frozen(kw_only=True)
class Frechet:
    """The squared Frechet distance in a named feature space, and what else ``further`` asks for.

    It is not FID: that name belongs to the features of one trained network, at one resolution.
    """

    features: FeatureName = "pixels"
    further: tuple[Further, ...] = ()

    def score(self, samples: Items, reference: Items) -> Score:
        """||mu_1 - mu_2||^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)), ``samples`` (n, *data), ``reference`` (m, *data).

        With few items it is biased upwards, so it is comparable at equal n and m only.

        Raises:
            SamplingError, DataError: see ``check_sets`` and ``feature_space``; two items a set are the least.
        """
        return self.against(reference).scores(samples)[0]

    def against(self, reference: Items) -> Comparison:
        """All scores, with the features of ``reference`` (m, *data) computed once."""
        return Comparison(
            space=feature_space(self.features, reference.shape[1:]),
            names=Names.of(self.features),
            reference=reference,
            further=self.further,
        )
