"""At full rank the flow of the latents is that of the items, turned: the same noise ends in the same samples.

z_t = A x_t + alpha_t b with A orthogonal. Exact experts and router of the items' law become those of the latents' law,
and every integrator that is linear in x and M, with coefficients of alpha and sigma, goes the same way in both.
`cached` does not: it guesses by the variance of each coordinate, and the coordinates are others.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from exact import Exact
from torch import Tensor

from mixvel_core.protocols import Codec, GaussianLaw, NoiseSchedule
from mixvel_core.recipe.build import build
from mixvel_core.sampling.sampler import Sampler
from mixvel_oracles.denoisers import OracleRouter, gaussian_expert
from mixvel_oracles.law import draw, random_law, split
from mixvel_schedules.schedules import Cosine, Rectified

SHAPE, EXPERTS, COUNT = (1, 4, 4), 3, 40
D = int(np.prod(SHAPE))
DELTA = 1e-3


def codec_of(law: GaussianLaw, **options: object) -> Codec:
    family, items = build("codec", "pca", options), draw(law, 300, 1)[0].reshape(-1, *SHAPE)
    return family.load(family.tensors(items, 0), SHAPE)


def affine(codec: Codec) -> tuple[Tensor, Tensor]:
    """A (D, D) and b (D,) of z = A x + b, on flattened items and latents."""
    basis = torch.cat([torch.zeros(1, D), torch.eye(D)]).double().reshape(-1, *SHAPE)
    columns = codec.encode(basis).flatten(1)
    return (columns[1:] - columns[0]).T, columns[0]


def mixture(law: GaussianLaw, schedule: NoiseSchedule) -> Exact:
    ends = np.linspace(0, len(law.weights), EXPERTS + 1).astype(int)
    parts = split(law, [list(range(a, b)) for a, b in pairwise(ends)])
    experts = tuple(gaussian_expert(part, schedule) for _, part in parts)
    fractions = tuple(weight for weight, _ in parts)
    return Exact(
        schedule=schedule,
        experts=experts,
        whole=gaussian_expert(law, schedule),
        router=OracleRouter(experts=experts, fractions=fractions),
        fractions=fractions,
        dimension=D,
    )


def turned(law: GaussianLaw, A: np.ndarray, b: np.ndarray) -> GaussianLaw:
    """The law of the latents."""
    return GaussianLaw(weights=law.weights, means=law.means @ A.T + b, covariances=A @ law.covariances @ A.T)


@pytest.mark.parametrize("patch", [None, 2])
@pytest.mark.parametrize("schedule", [Cosine(), Rectified()])
@pytest.mark.parametrize(
    ("selector", "integrator"),
    [("mixture", "ddim"), ("mixture", "pc"), ("iid", "2m"), ("topk", "unipc")],
)
def test_samples_with_the_codec_are_those_without(
    schedule: NoiseSchedule, patch: int | None, selector: str, integrator: str
) -> None:
    law = random_law(components=2 * EXPERTS, dimension=D, seed=3)
    codec = codec_of(law, **({} if patch is None else {"patch": patch}))
    A, b = affine(codec)
    torch.testing.assert_close(A @ A.T, torch.eye(D, dtype=torch.float64), rtol=0, atol=1e-6)

    def sampler(exact: Exact) -> Sampler:
        return exact.sampler(build("selector", selector), build("integrator", integrator), 12, DELTA)

    of_items, of_latents = mixture(law, schedule), mixture(turned(law, A.numpy(), b.numpy()), schedule)
    z_1, _ = of_latents.start(COUNT)
    start = schedule.at(torch.ones((), dtype=torch.float64))
    x_1 = (z_1 - start.alpha * b) @ A
    x = sampler(of_items).decode(x_1).x
    z = sampler(of_latents).decode(z_1).x
    # Sampling stops at delta, where a latent is that of an item times alpha.
    end = schedule.at(torch.tensor(DELTA, dtype=torch.float64))
    found = codec.decode((z + (1.0 - end.alpha) * b).reshape(-1, *codec.latent_shape)).flatten(1)
    assert float((found - x).abs().max()) < 1e-5
    assert float(x.std()) > 0.5


def test_half_of_the_rank_is_another_flow() -> None:
    law = random_law(components=2 * EXPERTS, dimension=D, seed=3)
    codec = codec_of(law, rank=D // 2)
    x = torch.from_numpy(draw(law, 50, 2)[0]).reshape(-1, *SHAPE)
    assert float((codec.decode(codec.encode(x)) - x).abs().max()) > 0.01
