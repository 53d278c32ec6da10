"""A U-Net expert laid out channels last, and in bfloat16: the same answers up to the rounding of each."""

from __future__ import annotations

import pytest
import torch

from mixvel_core.protocols import Moments, NetworkExpert
from mixvel_core.sampling.routed_field import SingleExpertRouter
from mixvel_core.sampling.sampler import Sampler
from mixvel_integrators.integrators import DDIM
from mixvel_networks.architecture import Architecture
from mixvel_networks.denoiser import NetworkDenoiser
from mixvel_networks.unet import make_unet
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.selectors import Mixture

SHAPE = (3, 8, 8)


@pytest.fixture(scope="module")
def expert() -> NetworkDenoiser:
    network = make_unet(Architecture(channels=(8, 16)), SHAPE, SHAPE[0], 0, "a test")
    return NetworkDenoiser(
        schedule=Cosine(),
        moments=Moments(mean=torch.zeros(SHAPE), variance=torch.ones(SHAPE)),
        network=network.eval().requires_grad_(False),
        prediction="v",
        clip=True,
    )


def test_channels_last_changes_the_layout_and_not_the_answer(expert: NetworkDenoiser) -> None:
    assert isinstance(expert, NetworkExpert)
    tuned = expert.tuned(channels_last=True, compiled=False)
    x, t = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.linspace(0.2, 1.0, 4)
    torch.testing.assert_close(tuned.denoise(x, t), expert.denoise(x, t), rtol=1e-4, atol=1e-5)
    kernels = [p for p in tuned.network.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]  # type: ignore[attr-defined]  # a module here
    assert kernels
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    plain = [p for p in expert.network.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]  # type: ignore[attr-defined]  # as above
    assert not any(p.is_contiguous(memory_format=torch.channels_last) for p in plain)


def test_bfloat16_networks_sample_near_float32_ones(expert: NetworkDenoiser) -> None:
    found = {}
    for autocast in (False, True):
        sampler = Sampler(
            schedule=Cosine(),
            experts=[expert],
            router=SingleExpertRouter(),
            selector=Mixture(),
            integrator=DDIM(),
            steps=4,
            delta=0.05,
            autocast=autocast,
        )
        found[autocast] = sampler.sample(count=6, shape=SHAPE).x
    assert found[True].dtype == torch.float32
    error = (found[True] - found[False]).norm() / found[False].norm()
    assert 0.0 < float(error) < 0.03
