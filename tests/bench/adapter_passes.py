"""A batch whose rows have different adapters, by size of the base: python tests/bench/adapter_passes.py [--device cuda]

A random U-Net and K random adapters of all its layers; seconds of one evaluation of all rows, medians over interleaved
repeats: the base alone; the group, each row by its own adapter; K merged networks, each for its rows; and the
composite, all K adapters for all rows. Weights do not matter to any of them.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Sequence
from statistics import median

import torch
from timing import seconds
from torch import Tensor, nn

from mixvel_core.randomness import normal
from mixvel_lora.adapter import Adapter, LowRank, layers_of
from mixvel_lora.grouped import AdaptedNetwork, merge
from mixvel_networks.architecture import Architecture
from mixvel_networks.denoiser import for_use
from mixvel_networks.unet import make_unet


def adapter(network: nn.Module, k: int, rank: int) -> Adapter:
    """A random one of all layers."""
    layers = {}
    for number, (name, layer) in enumerate(layers_of(network).items()):
        out, *rest = layer.weight.shape
        A = normal(100 * k + number, torch.arange(rank), tuple(rest), torch.float32)
        B = normal(9000 + 100 * k + number, torch.arange(out), (rank, *(1 for _ in rest[1:])), torch.float32)
        layers[name] = LowRank(A=0.01 * A, B=0.01 * B, alpha=float(rank))
    return Adapter(layers=layers)


def main(names: Sequence[str] | None = None) -> None:
    """Prints a row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, nargs="*", default=[64, 128])
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(names)
    torch.set_num_threads(1)
    K, B, device = given.adapters, given.rows, torch.device(given.device)
    size = Architecture(channels=tuple(given.channels))
    network = for_use(make_unet(size, (3, given.side, given.side), 3, 0, "bench"), device)
    adapters = [adapter(network, k, given.rank) for k in range(K)]
    apart = [copy.deepcopy(network) for _ in range(K)]
    for one, change in zip(apart, adapters, strict=True):
        merge(one, change)
    group = AdaptedNetwork(copy.deepcopy(network), adapters).to(device)
    x, t = torch.randn(B, 3, given.side, given.side, device=device), torch.full((B,), 0.5, device=device)
    k = torch.arange(B, device=device) * K // B

    def base_alone() -> Tensor:
        made: Tensor = network(x, t)
        return made

    def together() -> Tensor:
        with group.rows.set(k):
            made: Tensor = group(x, t)
        return made

    def each_merged() -> Tensor:
        parts: list[Tensor] = [one(x[k == i], t[k == i]) for i, one in enumerate(apart)]
        return torch.cat(parts)

    def composite() -> Tensor:
        total = torch.zeros_like(x)
        for i in range(K):
            with group.rows.set(torch.full_like(k, i)):
                total += group(x, t)
        total /= K
        return total

    ways: dict[str, Callable[[], Tensor]] = {
        "base": base_alone,
        "group": together,
        "merged": each_merged,
        "composite": composite,
    }
    with torch.no_grad():
        gap = float((together() - each_merged()).abs().max())
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(given.repeats):
            for name, way in ways.items():
                times[name].append(seconds(way))
    cells = " | ".join(f"{1000 * median(found):.3g}" for found in times.values())
    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    print(f"| {given.channels}, {given.side} wide, {parameters:.2f} M | {B} | {K} | {cells} | {gap:.0e} |", flush=True)


if __name__ == "__main__":
    main()
