"""What a user would write without mixvel: diffusers' network in a training loop and under DDIMScheduler.

They do the same arithmetic as ours and nothing else: items lie on the device, noise is torch's own, and nothing is
recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from attrs import frozen
from diffusers import DDIMScheduler
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from mixvel_networks.unet import make_unet
from mixvel_unet.hooks import UNetOptions


@frozen(kw_only=True)
class Setting:
    """How networks compute. ``name``: for the table. ``graphs``: ours replays CUDA graphs, the plain loop does not."""

    name: str
    bfloat16: bool = False
    channels_last: bool = False
    compile: bool = False
    graphs: bool = False

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """bfloat16 for convolutions and products, where it is asked for."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16)


FLOAT32 = Setting(name="float32")
REDUCED = Setting(name="bfloat16, channels last", bfloat16=True, channels_last=True)
GRAPHS = Setting(name="float32, CUDA graphs", graphs=True)
REDUCED_GRAPHS = Setting(name="bfloat16, channels last, CUDA graphs", bfloat16=True, channels_last=True, graphs=True)
COMPILED = Setting(name="bfloat16, channels last, compiled", bfloat16=True, channels_last=True, compile=True)


def plain_network(design: UNetOptions, shape: tuple[int, ...], setting: Setting, device: torch.device) -> nn.Module:
    """diffusers' own module, of (x, 0..1000), without our wrapper."""
    network = make_unet(design, shape, shape[0], 0, "plain loop").unet.to(device)
    if setting.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs know no memory_format alone
    return network


def plain_training(design: UNetOptions, items: Tensor, setting: Setting, device: torch.device) -> Callable[[int], None]:
    """A training that takes the given number of steps: v-prediction, Adam, clipped gradients, an average of weights.

    ``items``: (n, C, H, W) uint8, on the device.
    """
    options = design.train
    network = plain_network(design, tuple(items.shape[1:]), setting, device).train()
    called = torch.compile(network) if setting.compile else network
    parameters = list(network.parameters())
    average = [p.detach().clone() for p in parameters]
    adam = torch.optim.Adam(parameters, lr=options.learning_rate, fused=device.type == "cuda")

    def run(steps: int) -> None:
        for _ in range(steps):
            chosen = torch.randint(len(items), (options.batch,), device=device)
            x_0 = items[chosen].float() / 127.5 - 1.0
            eps, t = torch.randn_like(x_0), torch.rand(options.batch, device=device)
            angle = (t * (torch.pi / 2))[:, None, None, None]
            alpha, sigma = angle.cos(), angle.sin()
            adam.zero_grad()
            with setting.autocast(device):
                v = called(alpha * x_0 + sigma * eps, 1000.0 * t, return_dict=False)[0]
                loss = mse_loss(v, alpha * eps - sigma * x_0)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
            nn.utils.clip_grad_norm_(parameters, options.clip)
            adam.step()
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 1.0 - options.ema)

    return run


def plain_sampling(
    design: UNetOptions, shape: tuple[int, ...], count: int, steps: int, setting: Setting, device: torch.device
) -> Callable[[], Tensor]:
    """``count`` samples of one network, one evaluation a step."""
    network = plain_network(design, shape, setting, device).eval()
    scheduler = DDIMScheduler(num_train_timesteps=1000, clip_sample=True, prediction_type="v_prediction")

    @torch.inference_mode()
    def run() -> Tensor:
        scheduler.set_timesteps(steps)
        x = torch.randn(count, *shape, device=device)
        for t in scheduler.timesteps:
            with setting.autocast(device):
                network_input = x.contiguous(memory_format=torch.channels_last) if setting.channels_last else x
                v = network(network_input, t, return_dict=False)[0]
            x = scheduler.step(v.float(), t, x).prev_sample
        return x

    return run
