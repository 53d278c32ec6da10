"""Random Gaussian mixtures in closed form, and data drawn from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import asdict, frozen

from mixvel_core.protocols import CLASS, Data, GaussianLaw
from mixvel_oracles.hooks import MixtureOptions


def random_law(
    *, components: int, dimension: int, seed: int, spread: float = 1.0, width: float = 0.3, anisotropic: bool = True
) -> GaussianLaw:
    """A random mixture.

    Args:
        components: J.
        dimension: D.
        seed: of the choice.
        spread: standard deviation of each coordinate of the means.
        width: typical standard deviation of a component.
        anisotropic: random axes, each with a standard deviation between a half and twice the width; otherwise round.

    Returns:
        A law with uneven weights, between a third and three times each other.
    """
    rng = np.random.default_rng(seed)
    weights = np.exp(rng.uniform(-0.55, 0.55, components))
    means = spread * rng.standard_normal((components, dimension))
    covariances = np.empty((components, dimension, dimension))
    for j in range(components):
        axes, _ = np.linalg.qr(rng.standard_normal((dimension, dimension)))
        deviations = width * 2.0 ** rng.uniform(-1.0, 1.0, dimension) if anisotropic else np.full(dimension, width)
        covariances[j] = (axes * deviations**2) @ axes.T
    return GaussianLaw(weights=weights / weights.sum(), means=means, covariances=covariances)


def draw(law: GaussianLaw, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` items of the law, float32 (count, D), and the component of each, int64."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(law.weights), size=count, p=law.weights)
    # The symmetric root, unlike Cholesky's, exists for every positive semi-definite matrix.
    values, axes = np.linalg.eigh(law.covariances)
    roots = np.einsum("jde,je,jfe->jdf", axes, np.sqrt(np.maximum(values, 0.0)), axes)
    noise = rng.standard_normal((count, law.means.shape[1]))
    items = law.means[labels] + np.einsum("ndf,nf->nd", roots[labels], noise)
    return items.astype(np.float32), labels.astype(np.int64)


def split(law: GaussianLaw, groups: Sequence[Sequence[int]]) -> list[tuple[float, GaussianLaw]]:
    """The law cut into shards: for each group of components, its weight pi_k and its own law."""
    parts = []
    for index in map(np.asarray, groups):
        total = float(law.weights[index].sum())
        weights = law.weights[index] / total
        parts.append((total, _some(law, weights, index)))
    return parts


def _some(law: GaussianLaw, weights: np.ndarray, index: np.ndarray) -> GaussianLaw:
    classes = None if law.classes is None else law.classes[index]
    return GaussianLaw(weights=weights, means=law.means[index], covariances=law.covariances[index], classes=classes)


@frozen(kw_only=True)
class GaussianMixtureSource(MixtureOptions):
    """``count`` items in ``dimension`` D from ``components`` J, which are their labels, each of one of ``classes``."""

    def load(self) -> Data:
        """Draws the law and the items, the same ones every time."""
        law = random_law(**asdict(self, filter=lambda option, _: option.name not in ("count", "classes")))
        items, labels = draw(law, self.count, self.seed + 1)
        return Data(
            items=items,
            labels=labels,
            attributes={} if self.classes is None else {CLASS: labels % self.classes},
            law=law,
            provenance={
                "source": f"random Gaussian mixture, {self.components} components in {self.dimension} dimensions",
                "count": str(self.count),
                "seed": str(self.seed),
            },
        )
