"""The routed loop against diffusers' own: one UNet2DModel under DDIMScheduler, same batch, steps and evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from diffusers import DDIMScheduler, UNet2DModel
from timing import Row, ratio
from torch import Tensor

from mixvel_core.device import best_device
from mixvel_core.field.beta_table import BetaTable, usual_betas
from mixvel_core.protocols import Moments, NoiseSchedule, Router, Selector
from mixvel_core.sampling.sampler import Sampler
from mixvel_integrators.integrators import DDIM
from mixvel_networks.denoiser import NetworkDenoiser
from mixvel_routers.fixed import FixedRouter
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Iid

BATCH = 64


def loop_rows() -> Iterator[Row]:
    """An expert of realistic cost, then one so small that the loop is most of the work."""
    yield from _rows("realistic", channels=(32, 64), size=32, steps=5, repeats=7)
    yield from _rows("tiny", channels=(8, 8), size=8, steps=10, repeats=15)


def _rows(label: str, *, channels: tuple[int, ...], size: int, steps: int, repeats: int) -> Iterator[Row]:
    device = best_device()
    networks = [_network(channels, size).to(device).eval() for _ in range(4)]
    count = sum(p.numel() for p in networks[0].parameters())
    conditions = {
        "expert": f"UNet2DModel {channels}, {count} parameters, 3x{size}x{size}",
        "batch": str(BATCH),
        "steps": str(steps),
        "device": device.type,
        "threads": str(torch.get_num_threads()),
    }
    plain = _diffusers_loop(networks[0], size, steps, device)
    loops = {
        "K=1": _routed_loop(networks[:1], Iid(), size, steps, device),
        "K=4, iid": _routed_loop(networks, Iid(), size, steps, device),
        "K=4, cached": _routed_loop(networks, Cached(), size, steps, device),
    }
    target = "<= 1.05" if label == "realistic" else ""
    for which, loop in loops.items():
        name = f"{label} expert: routed loop, {which}, over diffusers"
        yield ratio(name, loop, plain, repeats=repeats, target=target, **conditions)


def _network(channels: tuple[int, ...], size: int) -> UNet2DModel:
    levels = len(channels)
    return UNet2DModel(
        sample_size=size,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=channels,
        down_block_types=("DownBlock2D",) * levels,
        up_block_types=("UpBlock2D",) * levels,
        norm_num_groups=8,
        add_attention=False,
    )


def _as_function(network: UNet2DModel) -> Callable[[Tensor, Tensor], Tensor]:
    def predict(x: Tensor, t: Tensor) -> Tensor:
        prediction: Tensor = network(x, 1000.0 * t).sample
        return prediction

    return predict


def _diffusers_loop(network: UNet2DModel, size: int, steps: int, device: torch.device) -> Callable[[], Tensor]:
    scheduler = DDIMScheduler(num_train_timesteps=1000, clip_sample=True)

    @torch.inference_mode()
    def run() -> Tensor:
        scheduler.set_timesteps(steps)
        x = torch.randn(BATCH, 3, size, size, device=device)
        for t in scheduler.timesteps:
            x = scheduler.step(network(x, t).sample, t, x).prev_sample
        return x

    return run


def _routed_loop(
    networks: list[UNet2DModel], selector: Selector, size: int, steps: int, device: torch.device
) -> Callable[[], Tensor]:
    schedule: NoiseSchedule = BetaTable.from_betas(usual_betas("linear", 1000, 1e-4, 0.02))
    zero = torch.zeros(3, size, size, device=device)
    experts = [
        NetworkDenoiser(
            schedule=schedule,
            moments=Moments(mean=zero, variance=torch.ones_like(zero)),
            network=_as_function(network),
            prediction="eps",
            clip=True,
        )
        for network in networks
    ]
    # A router that costs nothing: the loop itself is measured.
    router: Router = FixedRouter(fractions=(1.0 / len(experts),) * len(experts))
    sampler = Sampler(
        schedule=schedule,
        experts=experts,
        router=router,
        selector=selector,
        integrator=DDIM(),
        steps=steps,
        delta=0.0,
    )

    def run() -> Tensor:
        return sampler.sample(count=BATCH, shape=(3, size, size), batch=BATCH, device=device).x

    return run
