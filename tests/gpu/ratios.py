"""(b) Ours against plain loops on one device, timed in turn in one process: training and sampling.

A ratio above 1 says that ours is slower. Images a second are of the whole loop, batches and noise included.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from idx_arrays import images
from ledger import Ledger
from our_loops import our_losses, our_sampling, our_training, resumed_losses
from plain_loops import FLOAT32, GRAPHS, REDUCED, REDUCED_GRAPHS, Setting, plain_sampling, plain_training
from waits import device_waits

from mixvel_core.training.options import TrainOptions
from mixvel_unet.hooks import UNetOptions

SMALL = UNetOptions(channels=(32, 64, 64), train=TrainOptions(batch=128))
LARGE = UNetOptions(channels=(128, 256, 256, 256), layers_per_block=2, attention="at-16", train=TrainOptions(batch=128))
TOY = UNetOptions(channels=(8, 16), train=TrainOptions(batch=16))


def training(ledger: Ledger, data: Path) -> None:
    """Training: ours over the plain loop, with CUDA graphs too; losses with them and without."""
    grey, design = _items(ledger, data), TOY if ledger.toy else SMALL
    with ledger.guarded("losses with CUDA graphs, and resumed"):
        _same_losses(ledger, design, grey)
    for setting in (FLOAT32, REDUCED) if ledger.toy else (GRAPHS, REDUCED_GRAPHS, FLOAT32, REDUCED):
        if ledger.enough(f"training, {setting.name}", 10):
            with ledger.guarded(f"training, {setting.name}"):
                training_ratio(ledger, "fashion network", design, grey, setting, repeats=2)
    if not ledger.toy and ledger.enough("training the network of recipes/cifar10.yaml", 25):
        with ledger.guarded("training, cifar10 network"):
            colour = np.repeat(grey[:5000], 3, axis=1)
            training_ratio(ledger, "cifar10 network", LARGE, colour, REDUCED, steps=24, repeats=2)


def sampling(ledger: Ledger, data: Path) -> None:
    """Sampling: ours over the plain loop for K = 1 and 10."""
    grey, design = _items(ledger, data), TOY if ledger.toy else SMALL
    for setting in (FLOAT32, REDUCED):
        if ledger.enough(f"sampling, {setting.name}", 10):
            with ledger.guarded(f"sampling, {setting.name}"):
                _sampling(ledger, "fashion network", design, tuple(grey.shape[1:]), setting)
    if not ledger.toy and ledger.enough("sampling by the network of recipes/cifar10.yaml", 25):
        with ledger.guarded("sampling, cifar10 network"):
            _sampling(ledger, "cifar10 network", LARGE, (3, 32, 32), REDUCED, repeats=2)


def waits(ledger: Ledger, data: Path) -> None:
    """Calls of the driver in a step of both loops, of training and of sampling."""
    _waits(ledger, TOY if ledger.toy else SMALL, _items(ledger, data))


def _items(ledger: Ledger, data: Path) -> np.ndarray:
    grey = images(data)[: 2000 if ledger.toy else 20000]
    return grey[:, :, ::2, ::2] if ledger.toy else grey


def _same_losses(ledger: Ledger, design: UNetOptions, items: np.ndarray) -> None:
    """The same batches and weights give the same losses, whatever starts the kernels."""
    steps = 4 if ledger.toy else 25
    one, other = (our_losses(design, items, setting, ledger.device, steps) for setting in (FLOAT32, GRAPHS))
    off = max(abs(a - b) / abs(a) for a, b in zip(one, other, strict=True))
    ledger.check("losses with CUDA graphs and without: largest relative difference", off, 5e-3, steps=steps)
    # The layout and the place of the optimizer's numbers are part of a checkpoint's way back.
    straight, resumed = (
        losses(design, items, REDUCED_GRAPHS, ledger.device, steps) for losses in (our_losses, resumed_losses)
    )
    off = max(abs(a - b) / abs(a) for a, b in zip(straight, resumed, strict=True))
    ledger.check("losses of a training that was interrupted: largest relative difference", off, 2e-2, steps=steps)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long one call takes, the device's own work included."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return perf_counter() - started


def in_turn(
    ours: Callable[[], object], other: Callable[[], object], device: torch.device, repeats: int
) -> tuple[float, float, float]:
    """Median seconds of both, and the median ratio of neighbours; each is called once before."""
    ours(), other()
    pairs = []
    for i in range(repeats):
        # Whoever comes second finds warmer caches.
        if i % 2:
            b, a = seconds(other, device), seconds(ours, device)
        else:
            a, b = seconds(ours, device), seconds(other, device)
        pairs.append((a, b))
    return median(a for a, _ in pairs), median(b for _, b in pairs), median(a / b for a, b in pairs)


def training_ratio(
    ledger: Ledger,
    label: str,
    design: UNetOptions,
    items: np.ndarray,
    setting: Setting,
    *,
    steps: int = 80,
    repeats: int = 3,
) -> None:
    """Images a second of both, in turn."""
    device, batch = ledger.device, design.train.batch
    steps, repeats = (8, 1) if ledger.toy else (steps, repeats)
    ours = our_training(design, items, setting, device)
    plain = plain_training(design, torch.from_numpy(items).to(device), setting, device)
    plain(4)
    pairs = [(ours(steps), batch * steps / seconds(partial(plain, steps), device)) for _ in range(repeats)]
    conditions = {"network": label, "channels": design.channels, "setting": setting.name, "batch": batch}
    what = f"{label}, {setting.name}"
    mine, other = (median(rates) for rates in zip(*pairs, strict=True))
    ledger.figure(f"training, ours, {what}", mine, "images/s", **conditions)
    ledger.figure(f"training, plain loop, {what}", other, "images/s", **conditions)
    ledger.figure(f"training, time of ours over plain, {what}", median(b / a for a, b in pairs), "times", **conditions)


def _sampling(
    ledger: Ledger, label: str, design: UNetOptions, shape: tuple[int, ...], setting: Setting, *, repeats: int = 5
) -> None:
    """Images a second at ``steps`` evaluations a sample; every row evaluates as often as the plain loop."""
    device = ledger.device
    count, steps, repeats = (16, 2, 1) if ledger.toy else (512, 10, repeats)
    plain = plain_sampling(design, shape, count, steps, setting, device)
    many = 3 if ledger.toy else 10
    rows = (("K=1", "iid", 1), (f"K={many}, iid", "iid", many), (f"K={many}, cached", "cached", many))
    for name, selector, experts in rows:
        ours = our_sampling(design, shape, count, steps, setting, device, selector=selector, experts=experts)
        mine, other, ratio = in_turn(ours, plain, device, repeats)
        conditions = {"network": label, "setting": setting.name, "batch": count, "steps": steps}
        what = f"{name}, {label}, {setting.name}"
        ledger.figure(f"sampling, ours, {what}", count / mine, "images/s", **conditions)
        ledger.figure(f"sampling, plain loop, {what}", count / other, "images/s", **conditions)
        ledger.figure(f"sampling, time of ours over plain, {what}", ratio, "times", **conditions)


def _waits(ledger: Ledger, design: UNetOptions, items: np.ndarray) -> None:
    """What one more step costs in calls of the driver: waits, copies, kernels."""
    device, shape = ledger.device, tuple(items.shape[1:])
    training = our_training(design, items, FLOAT32, device)
    plain = plain_training(design, torch.from_numpy(items).to(device), FLOAT32, device)
    count, many = (16, 3) if ledger.toy else (128, 10)

    def sampling(selector: str, experts: int) -> Callable[[int], object]:
        def run(steps: int) -> object:
            return our_sampling(design, shape, count, steps, FLOAT32, device, selector=selector, experts=experts)()

        return run

    works: dict[str, Callable[[int], object]] = {
        "training step, plain loop": plain,
        "training step, ours": training,
        "sampling step, plain loop": lambda n: plain_sampling(design, shape, count, n, FLOAT32, device)(),
        "sampling step, ours, K=1": sampling("iid", 1),
        f"sampling step, ours, K={many}, iid": sampling("iid", many),
        f"sampling step, ours, K={many}, cached": sampling("cached", many),
    }
    for name, work in works.items():
        for what, value in device_waits(work, device).items():
            ledger.figure(f"{name}: {what}", value, "a step")
