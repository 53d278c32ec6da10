"""Exact data: items drawn from a Gaussian mixture whose law goes with them."""

from __future__ import annotations

from attrs import frozen

from mixvel_core.protocols import Data
from mixvel_oracles.law import draw, random_law


@frozen(kw_only=True)
class GaussianMixtureSource:
    """``count`` items in ``dimension`` D from ``components`` J; labels are the components."""

    components: int
    dimension: int
    count: int
    seed: int
    spread: float
    width: float
    anisotropic: bool

    def load(self) -> Data:
        """Draws the law and the items, the same ones every time."""
        law = random_law(
            components=self.components,
            dimension=self.dimension,
            seed=self.seed,
            spread=self.spread,
            width=self.width,
            anisotropic=self.anisotropic,
        )
        items, labels = draw(law, self.count, self.seed + 1)
        return Data(
            items=items,
            labels=labels,
            law=law,
            provenance={
                "source": f"random Gaussian mixture, {self.components} components in {self.dimension} dimensions",
                "count": str(self.count),
                "seed": str(self.seed),
            },
        )
