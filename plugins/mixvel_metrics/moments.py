"""Mean and covariance of more vectors than fit into memory, a block at a time."""

from __future__ import annotations

import numpy as np
from attrs import define, field, frozen


@frozen(kw_only=True)
class Gaussian:
    """``mean`` (D,) and ``covariance`` (D, D), float64."""

    mean: np.ndarray
    covariance: np.ndarray


@define(kw_only=True)
class Moments:
    """Running mean and scatter, merged block by block (Chan, Golub & LeVeque 1979): no large sums cancel."""

    dimension: int
    count: int = field(default=0, init=False)
    _mean: np.ndarray = field(init=False)
    _scatter: np.ndarray = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._mean = np.zeros(self.dimension)
        self._scatter = np.zeros((self.dimension, self.dimension))

    def update(self, block: np.ndarray) -> None:
        """Adds the rows of ``block`` (n, D). How rows are split into blocks does not matter, up to rounding."""
        if len(block) == 0:
            return
        block = block.astype(np.float64, copy=False)
        total = self.count + len(block)
        mean = block.mean(axis=0)
        shift = mean - self._mean
        centred = block - mean
        self._scatter += centred.T @ centred + np.outer(shift, shift) * (self.count * len(block) / total)
        self._mean = self._mean + shift * (len(block) / total)
        self.count = total

    def finish(self) -> Gaussian:
        """The Gaussian with the mean and the unbiased covariance (divided by n - 1) of the rows so far.

        Raises:
            ValueError: fewer than two rows.
        """
        if self.count < 2:
            raise ValueError(f"a covariance takes two rows at least, not {self.count}")
        return Gaussian(mean=self._mean.copy(), covariance=self._scatter / (self.count - 1))
