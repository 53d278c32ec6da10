"""The random feature network: the same everywhere, and worth looking through."""

from __future__ import annotations

import numpy as np
import pytest

from mixvel_core.errors import DataError
from mixvel_data.numpy_source import Digits
from mixvel_metrics.comparison import Frechet
from mixvel_metrics.random_conv import RandomConv


def images(count: int, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, *shape)).astype(np.float32)


def by_loops(net: RandomConv, image: np.ndarray) -> np.ndarray:
    """The definition, written out: pool, pad, correlate, rectify, and the mean at last."""
    h = image.astype(np.float64)
    for i, layer in enumerate(net.layers):
        if i:
            height, width = h.shape[1] // 2, h.shape[2] // 2
            h = h[:, : 2 * height, : 2 * width].reshape(len(h), height, 2, width, 2).mean(axis=(2, 4))
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(h, ((0, 0), (1, 1), (1, 1))), (3, 3), axis=(1, 2))
        out = np.einsum("oiuv,ihwuv->ohw", layer.weight.numpy(), windows) + layer.bias.numpy()[:, None, None]
        h = out.clip(min=0)
    return np.asarray(h.mean(axis=(1, 2)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 11), (3, 16, 16)])
def test_features_follow_the_definition(shape: tuple[int, int, int]) -> None:
    net, x = RandomConv.for_shape(shape), images(3, shape)
    found = net.of(x)
    assert found.shape == (3, net.dimension)
    np.testing.assert_allclose(found, [by_loops(net, image) for image in x], rtol=1e-10, atol=1e-12)


def test_the_space_is_the_one_that_past_scores_were_measured_in() -> None:
    # Scores already written down name this hash: it may only change together with the name of the space.
    assert RandomConv.for_shape((1, 8, 8)).description == (
        "random-conv (64 values, 2 layers, seed 0, hash efdee53c6356)"
    )


@pytest.mark.parametrize("shape", [(5,), (1, 3, 8), (8, 8)])
def test_other_items_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="use `features: pixels`"):
        Frechet(features="random-conv").score(np.zeros((3, *shape)), np.zeros((3, *shape)))


def test_it_sees_what_pixels_do_not() -> None:
    items = np.random.default_rng(0).permutation(Digits().load().items[:])
    half, reference = items[:850], items[850:1700]
    flat = half.reshape(850, -1).astype(np.float64)
    fake = np.random.default_rng(1).multivariate_normal(flat.mean(axis=0), np.cov(flat.T), 850)
    ratio = {}
    for features in ("pixels", "random-conv"):
        metric = Frechet(features=features)
        floor = metric.score(half, reference).value
        ratio[features] = metric.score(fake.reshape(half.shape), reference).value / floor
    assert ratio["pixels"] < 2
    assert ratio["random-conv"] > 12
