"""The posterior engine against its own matrix products, and against the formula written out."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from timing import Row, ratio
from torch import Tensor

from mixvel_core.field.item_blocks import item_blocks
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.protocols import SchedulePoint
from mixvel_schedules.schedules import Cosine

DIMENSION, QUERIES, SHARDS = 3072, 64, 10


def engine_rows() -> Iterator[Row]:
    """At the size of CIFAR-10, times spread over [0.01, 1]."""
    with tempfile.TemporaryDirectory() as folder:
        parts = _stored(50_000, Path(folder))
        yield ratio(
            "posterior engine over its bare float32 matrix products",
            _engine(parts, _times()),
            _bare(parts),
            repeats=5,
            target="<= 1.25",
            data="50000 x 3072 bytes, memory-mapped",
            queries=f"{QUERIES}, t from 0.01 to 1",
            products="x X^T and p X, on the same blocks, converted to float32 as they are read",
        )
        for t in (0.05, 0.2, 0.5, 0.9):
            yield ratio(
                f"the same, all queries at t = {t}",
                _engine(parts, torch.full((QUERIES,), t, dtype=torch.float64)),
                _bare(parts),
                repeats=3,
            )
        yield _memory_row(parts)
        small = [part[:60] for part in parts]
        yield ratio(
            "posterior engine over the broadcast formula",
            _engine(small, _times()),
            _broadcast(small),
            repeats=3,
            target="<= 0.05",
            data="600 x 3072, float32",
        )


def _memory_row(parts: list[np.ndarray]) -> Row:
    """How much more memory of its own a pass takes over ten times the items, as a part of the items' size."""
    few = [part[: len(part) // 10] for part in parts]
    taken = [_peak(_engine(items, _times())) for items in (few, parts)]
    size = sum(part.nbytes for part in parts)
    growth = (taken[1] - taken[0]) / size
    return Row(
        name="growth of the peak memory of a pass from 5000 to 50000 items, over the items' size",
        value=growth,
        low=growth,
        high=growth,
        unit="times",
        target="< 0.1",
        conditions={
            "peaks": f"{taken[0] / 2**20:.0f} and {taken[1] / 2**20:.0f} MiB",
            "items": f"{size / 2**20:.0f} MiB",
        },
    )


def _peak(work: Callable[[], object]) -> int:
    """Bytes of anonymous memory that ``work`` needs at its height; pages of a mapped file are not its own."""
    before, highest, done = _anonymous(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            highest[0] = max(highest[0], _anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    done.set()
    watcher.join()
    return max(highest[0] - before, 0)


def _anonymous() -> int:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


def _times() -> Tensor:
    return torch.linspace(0.01, 1.0, QUERIES, dtype=torch.float64)


def _stored(count: int, folder: Path) -> list[np.ndarray]:
    """Blurred noise with a low-dimensional part, so that distances differ as those of images do."""
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((24, DIMENSION)).astype(np.float32)
    parts = []
    for k in range(SHARDS):
        code = rng.standard_normal((count // SHARDS, 24)).astype(np.float32) * 12 + rng.standard_normal(24) * 8
        pixels = (
            127 + code.astype(np.float32) @ basis + 6 * rng.standard_normal((len(code), DIMENSION), dtype=np.float32)
        )
        np.save(folder / f"{k}.npy", np.clip(pixels, 0, 255).astype(np.uint8))
        parts.append(np.load(folder / f"{k}.npy", mmap_mode="r"))
    return parts


def _points(parts: list[np.ndarray], t: Tensor) -> tuple[Tensor, SchedulePoint]:
    """Noised items: what a router is asked about."""
    p = Cosine().at(t)
    x_0 = torch.from_numpy(
        np.stack([parts[i % SHARDS][i % len(parts[0])] for i in range(QUERIES)]).astype(np.float32) / 127.5 - 1.0
    )
    eps = torch.randn(QUERIES, DIMENSION, generator=torch.Generator().manual_seed(0))
    return p.alpha.float()[:, None] * x_0 + p.sigma.float()[:, None] * eps, p


def _engine(parts: list[np.ndarray], t: Tensor) -> Callable[[], Tensor]:
    engine = PosteriorEngine(shards=parts)
    x, p = _points(parts, t)
    return lambda: engine.at(x, p).rate("material")


def _bare(parts: list[np.ndarray]) -> Callable[[], Tensor]:
    """The two products of every block and nothing else, but for reading the block as numbers."""
    blocks = item_blocks(parts)
    y = torch.randn(QUERIES, DIMENSION)

    def run() -> Tensor:
        total = torch.zeros(QUERIES, DIMENSION)
        for part in blocks:
            scratch = part.scratch(y, part.rows)
            for span in part.spans():
                Z = part.vectors(span, y, scratch)
                total.addmm_(y @ Z.T, Z)
        return total

    return run


def _broadcast(parts: list[np.ndarray]) -> Callable[[], Tensor]:
    """D2 and P2 as they are written, with everything of size B x n x D in memory."""
    x, p = _points(parts, _times())
    items = torch.from_numpy(np.concatenate(parts).astype(np.float32) / 127.5 - 1.0)
    shard = torch.arange(len(items)) // len(parts[0])
    alpha, sigma, d_alpha, d_sigma = (v.float()[:, None, None] for v in (p.alpha, p.sigma, p.d_alpha, p.d_sigma))

    def run() -> Tensor:
        away = x[:, None] - alpha * items
        squares = (away**2).sum(2)
        w = (-0.5 * squares / sigma[:, 0] ** 2).softmax(1)
        m = (w[:, :, None] * items).sum(1)
        rate = (d_sigma / sigma)[:, 0]
        v = rate * x + (d_alpha[:, 0] - alpha[:, 0] * rate) * m
        pull = (away * (v[:, None] - d_alpha * items)).sum(2)
        slope = squares * (d_sigma / sigma**3)[:, 0] - pull / sigma[:, 0] ** 2
        centred = w * (slope - (w * slope).sum(1, keepdim=True))
        return torch.zeros(len(x), len(parts)).index_add_(1, shard, centred)

    return run
