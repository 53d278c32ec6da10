"""The tables of docs/cluster.md, "How cost grows": networks counted, times by FLOPs. Run as a script."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from mixvel_core.cost.counting import Counts, Network
from mixvel_core.cost.jobs import CHECKPOINT, WEIGHTS
from mixvel_core.cost.quantities import amount, duration
from mixvel_core.recipe.build import build

USABLE = 0.3 * 989e12
"""FLOP/s of one device: 0.3, an assumption, of an H100's peak in bfloat16."""

STEPS = 40
NETWORKS: tuple[tuple[tuple[int, ...], list[int]], ...] = (
    ((3, 32, 32), [128, 256, 256, 256]),
    ((3, 64, 64), [128, 256, 384, 512]),
    ((3, 128, 128), [128, 128, 256, 384, 512]),
    ((3, 256, 256), [128, 128, 256, 256, 512, 512]),
    ((4, 64, 64), [320, 640, 1280, 1280]),
)


@frozen(kw_only=True, eq=False)
class Shape:
    """A shard of which nothing but the shape matters."""

    shape: tuple[int, ...]
    index: int = 0
    count: int = 2
    fraction: float = 1.0
    law: None = None

    @property
    def items(self) -> np.ndarray:
        return np.zeros((2, *self.shape), np.float32)


def unet(shape: tuple[int, ...], channels: list[int]) -> Network:
    family = build("expert", "unet", {"channels": channels, "layers_per_block": 2, "attention": "at-16"})
    task = family.task(Shape(shape=shape), build("schedule", "vp-cosine"))
    found = Counts(shape=shape).of(task) if task is not None else None
    if found is None:
        raise SystemExit(f"a U-Net of {shape} cannot be counted")
    return found


def main() -> None:
    print("| images | channels | parameters | forward | training | images/s | 1e9 images | weights | checkpoint |")
    print("|---|---|---|---|---|---|---|---|---|")
    networks = [unet(*one) for one in NETWORKS]
    for (shape, channels), n in zip(NETWORKS, networks, strict=True):
        rate = USABLE / n.training
        cells = [
            "x".join(map(str, shape)),
            ", ".join(map(str, channels)),
            amount(n.parameters),
            amount(n.forward, "FLOP"),
            amount(n.training, "FLOP"),
            f"{rate:.3g}",
            duration(1e9 / rate),
            amount(WEIGHTS * n.parameters, "B"),
            amount(CHECKPOINT * n.parameters, "B"),
        ]
        print(f"| {' | '.join(cells)} |")
    last = networks[-1]
    print("\n| images seen | K | in all | each expert | 8 devices each | weights moved | checkpoints, 2 kept |")
    print("|---|---|---|---|---|---|---|")
    for seen in (1e9, 5e9):
        for K in (8, 16, 64):
            seconds = seen * last.training / USABLE
            cells = [
                f"{seen:.0e}".replace("e+09", "e9"),
                str(K),
                duration(seconds),
                duration(seconds / K),
                duration(seconds / K / 8),
                amount(K * WEIGHTS * last.parameters, "B"),
                amount(2 * K * CHECKPOINT * last.parameters, "B"),
            ]
            print(f"| {' | '.join(cells)} |")
    print("\n| K | mixture | one expert a step | two | saved by one |")
    print("|---|---|---|---|---|")
    for K in (8, 16, 64):
        costs = [STEPS * asked * last.forward for asked in (K, 1, 2)]
        cells = [*(f"{amount(one, 'FLOP')}, {duration(one / USABLE)}" for one in costs), f"{K} times"]
        print(f"| {K} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
