"""Principal components of items, or of their patches, as latents.

z = s V (x - mean) with V (rank, P), the leading eigenvectors of the covariance of vectors x of P numbers, and
x = V^T z / s + mean. At full rank V is orthogonal: nothing is lost, noise stays noise of the same size (V eps is as
Gaussian as eps), and with s = 1 the flow of the latents is that of the items turned (theory: the denoiser is
equivariant under rotations). Below full rank what is lost is the variance of the components that are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_codecs.hooks import PCAOptions
from mixvel_core.artifacts.tensors import check_same
from mixvel_core.errors import RecipeError
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import Items

WHAT = "codec pca"
_MOST_VECTORS = 1 << 17
"""Patches that are fitted to, at most: as many of each item as fit, at random."""
_BLOCK = 256


@frozen(kw_only=True, eq=False)
class PCACodec:
    """``mean`` (P,), ``components`` V (rank, P), ``scale`` s. ``patch``: None where P numbers are an item."""

    data_shape: tuple[int, ...]
    patch: int | None
    mean: Tensor
    components: Tensor
    scale: float

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(rank,), or with patches (rank, H / patch, W / patch)."""
        rank = len(self.components)
        return (rank,) if self.patch is None else (rank, *(side // self.patch for side in self.data_shape[1:]))

    def encode(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """z = s V (x - mean) of each item or patch, (B, *latent). Sums are of float64: to float16 they are the same for
        any number of threads. Nothing is random."""
        vectors = patches(x, self.patch).double()
        z = (vectors - self.mean.double()) @ self.components.double().T * self.scale
        return (z if self.patch is None else z.movedim(-1, 1)).to(x.dtype)

    def decode(self, z: Tensor) -> Tensor:
        """x = V^T z / s + mean of each item or patch, (B, *data)."""
        latents = (z if self.patch is None else z.movedim(1, -1)).double()
        vectors = latents @ self.components.double() / self.scale + self.mean.double()
        return joined_patches(vectors, self.patch, self.data_shape).to(z.dtype)


@frozen(kw_only=True)
class PCAFamily(PCAOptions):
    """PCA by scikit-learn on a sample of the items."""

    def tensors(self, items: Items, seed: int) -> Mapping[str, Tensor]:
        """``mean`` (P,), ``components`` (rank, P) and ``scale``. Raises RecipeError where the items have fewer
        dimensions, or there are fewer of them, than components are asked for."""
        self._check(tuple(items.shape[1:]))
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(len(items), min(self.fit_on, len(items)), replace=False))
        vectors = self._vectors(items, rows, rng)
        count, size = vectors.shape
        rank = size if self.rank is None else self.rank
        if rank > size:
            what = "items" if self.patch is None else "patches"
            raise RecipeError(f"{WHAT}: rank {rank}, but {what} have {size} numbers; set `rank` to at most {size}")
        if rank > count:
            raise RecipeError(f"{WHAT}: rank {rank} of {count} items; set `rank` to at most {count}, or take more data")
        # Here, because fitting alone needs them: exported runs are loaded where they are not installed.
        from sklearn.decomposition import PCA
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # publishes no types

        # One thread: sums in another order would be other components in their last bits.
        with threadpool_limits(limits=1):
            found = PCA(n_components=rank, svd_solver="covariance_eigh" if count > size else "full").fit(vectors)
        spread = float(np.mean(found.explained_variance_))
        scale = 1.0 if self.scale == "keep" or spread <= 0.0 else spread**-0.5
        return {
            "mean": torch.from_numpy(found.mean_.astype(np.float32)),
            "components": torch.from_numpy(np.ascontiguousarray(found.components_, np.float32)),
            "scale": torch.tensor(scale, dtype=torch.float64),
        }

    def load(self, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> PCACodec:
        """The codec. Raises ArtifactError where ``tensors`` are of items of another shape."""
        self._check(shape)
        size = int(np.prod(shape)) if self.patch is None else shape[0] * self.patch**2
        rank = size if self.rank is None else self.rank
        expected = {
            "mean": torch.empty(size, device="meta"),
            "components": torch.empty(rank, size, device="meta"),
            "scale": torch.empty((), dtype=torch.float64, device="meta"),
        }
        check_same(tensors, expected, WHAT)
        return PCACodec(
            data_shape=tuple(shape),
            patch=self.patch,
            mean=tensors["mean"],
            components=tensors["components"],
            scale=float(tensors["scale"]),
        )

    def _vectors(self, items: Items, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What is fitted to, (n, P) float64."""
        parts = []
        for start in range(0, len(rows), _BLOCK):
            x = torch.from_numpy(to_float(np.array(items[rows[start : start + _BLOCK]])))
            vectors = patches(x, self.patch).flatten(1, -2).numpy() if self.patch else x.flatten(1).numpy()[:, None]
            each = max(1, min(vectors.shape[1], _MOST_VECTORS // len(rows)))
            chosen = np.argsort(rng.random(vectors.shape[:2]), axis=1)[:, :each]
            parts.append(np.take_along_axis(vectors, chosen[..., None], axis=1).reshape(-1, vectors.shape[2]))
        return np.concatenate(parts).astype(np.float64)

    def _check(self, shape: tuple[int, ...]) -> None:
        """Raises RecipeError where items of this shape have no such patches."""
        if self.patch is None:
            return
        if len(shape) != 3:
            raise RecipeError(f"{WHAT}: patches are of images, and items have shape {shape}; leave out `patch`")
        if any(side % self.patch for side in shape[1:]):
            raise RecipeError(
                f"{WHAT}: images of {shape[1]} x {shape[2]} have no whole patches of side {self.patch}; set `patch` to "
                "a divisor, or pad the images"
            )


def patches(x: Tensor, patch: int | None) -> Tensor:
    """Images (B, C, H, W) as (B, H / p, W / p, C p^2), p = ``patch``; items as (B, D) where that is None."""
    if patch is None:
        return x.flatten(1)
    B, C, H, W = x.shape
    cut = x.reshape(B, C, H // patch, patch, W // patch, patch)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(B, H // patch, W // patch, C * patch**2)


def joined_patches(vectors: Tensor, patch: int | None, shape: tuple[int, ...]) -> Tensor:
    """The inverse of ``patches``, (B, *shape)."""
    if patch is None:
        return vectors.reshape(-1, *shape)
    C, H, W = shape
    cut = vectors.reshape(len(vectors), H // patch, W // patch, C, patch, patch)
    return cut.permute(0, 3, 1, 4, 2, 5).reshape(-1, C, H, W)
