"""Principal components: exact at full rank, the best linear codec below it, and refusals in a line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch import Tensor

from mixvel_codecs.pca import joined_patches, patches
from mixvel_core.errors import RecipeError
from mixvel_core.protocols import Codec
from mixvel_core.recipe.build import build


def images(n: int = 60, shape: tuple[int, ...] = (2, 4, 6)) -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = rng.standard_normal((n, 3)) @ rng.standard_normal((3, int(np.prod(shape))))
    noise = 0.1 * rng.standard_normal((n, *shape))
    return np.asarray((smooth.reshape(n, *shape) / 8 + noise).clip(-1, 1), np.float32)


def made(items: np.ndarray, seed: int = 0, **options: Any) -> Codec:
    family = build("codec", "pca", options)
    return family.load(family.tensors(items, seed), items.shape[1:])


@pytest.mark.parametrize("options", [{}, {"patch": 2}, {"patch": 1}, {"scale": "unit"}, {"patch": 2, "scale": "unit"}])
def test_nothing_is_lost_at_full_rank(options: dict[str, Any]) -> None:
    items = images()
    codec, x = made(items, **options), torch.from_numpy(items)
    z = codec.encode(x)
    assert z.shape[1:] == codec.latent_shape
    assert z[0].numel() == x[0].numel()
    torch.testing.assert_close(codec.decode(z), x, rtol=0, atol=1e-5)


def test_distances_are_kept_at_full_rank() -> None:
    x = torch.from_numpy(images()).double()
    z = made(images(), patch=2).encode(x)
    torch.testing.assert_close(torch.cdist(z.flatten(1), z.flatten(1)), torch.cdist(x.flatten(1), x.flatten(1)))


def test_it_is_scikit_learns_and_loses_the_least() -> None:
    items = images()
    flat = items.reshape(len(items), -1)
    theirs = PCA(n_components=5, svd_solver="full").fit(flat.astype(np.float64))
    back = made(items, rank=5).decode(made(items, rank=5).encode(torch.from_numpy(items))).numpy()
    wanted = theirs.inverse_transform(theirs.transform(flat.astype(np.float64)))
    np.testing.assert_allclose(back.reshape(len(items), -1), wanted, atol=1e-5)
    lost = float(((back - items) ** 2).sum())
    assert lost == pytest.approx(
        float((flat - flat.mean(0)).__pow__(2).sum() * (1 - theirs.explained_variance_ratio_.sum())), rel=1e-3
    )


def test_unit_scale_makes_the_mean_variance_one() -> None:
    items = images(400)
    z = made(items, patch=2, rank=3, scale="unit").encode(torch.from_numpy(items))
    assert float(z.var(dim=(0, 2, 3)).mean()) == pytest.approx(1.0, rel=0.01)


def test_few_items_chosen_by_the_seed_are_fitted_to() -> None:
    items = images(200)
    first, again, other = (made(items, seed, rank=2, fit_on=50).encode(torch.from_numpy(items)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_patches_are_joined_again(channels: int, rows: int, columns: int, patch: int) -> None:
    shape = (channels, rows * patch, columns * patch)
    x = torch.arange(2 * int(np.prod(shape))).reshape(2, *shape).double()
    cut = patches(x, patch)
    assert cut.shape == (2, rows, columns, channels * patch**2)
    assert torch.equal(joined_patches(cut, patch, shape), x)
    assert torch.equal(cut[0, 0, 0].reshape(channels, patch, patch), x[0, :, :patch, :patch])


@pytest.mark.parametrize(
    ("items", "options", "message"),
    [
        (images(), {"patch": 4}, "4 x 6 have no whole patches of side 4"),
        (images()[:, 0, 0], {"patch": 2}, "patches are of images"),
        (images(), {"rank": 49}, "at most 48"),
        (images(), {"rank": 9, "patch": 2}, "at most 8"),
        (images(5), {"rank": 6}, "at most 5"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(items: np.ndarray, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as raised:
        made(items, **options)
    assert str(raised.value).startswith("codec pca: ")
    assert "\n" not in str(raised.value)


def test_the_order_of_components_is_that_of_their_variance() -> None:
    z: Tensor = made(images(), rank=4).encode(torch.from_numpy(images()))
    variances = z.var(0)
    assert bool((variances[:-1] >= variances[1:]).all())
