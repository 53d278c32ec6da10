"""(b) The posterior engine against its two matrix products alone, on items that lie on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from idx_arrays import images, labels
from ledger import Ledger
from ratios import in_turn
from torch import Tensor

from mixvel_core import build
from mixvel_core.field.posterior import PosteriorEngine

PRECISIONS = (("float32", "float32", False), ("tf32", "float32", True), ("bfloat16", "bfloat16", False))
"""Name, type of the products, and whether torch may make float32 products in TF32."""


def products(ledger: Ledger, data: Path) -> None:
    """Each precision with the engine's own block and with blocks of a whole shard, and against plain products."""
    x, y = images(data), labels(data)
    count = 40 if ledger.toy else 6000
    shards = [torch.from_numpy(x[y == k][:count]).to(ledger.device) for k in range(10)]
    for queries in (16,) if ledger.toy else (64, 512):
        noised, times = _points(shards, queries)
        for name, dtype, tf32 in PRECISIONS:
            for block in (None, count):
                with ledger.guarded(f"posterior engine, {name}"), _products_in(tf32):
                    tolerance = 5e-6 if name == "float32" else 1e-1
                    engine = PosteriorEngine(shards=shards, products=dtype, tolerance=tolerance, block=block)  # type: ignore[arg-type]  # a literal out of the table above
                    mine, other, ratio = in_turn(
                        partial(_rate, engine, noised, times),
                        _bare(shards, noised, getattr(torch, dtype)),
                        ledger.device,
                        3 if ledger.toy else 7,
                    )
                    size = {"items": 10 * count, "dimension": 1024, "queries": queries, "tolerance": tolerance}
                    blocks = "its own blocks" if block is None else "a block a shard"
                    what = f"{name}, {queries} queries, {blocks}"
                    ledger.figure(f"posterior engine, {what}", 1e3 * mine, "ms", **size)
                    ledger.figure(f"posterior engine's bare products, {what}", 1e3 * other, "ms", **size)
                    ledger.figure(f"posterior engine over its bare products, {what}", ratio, "times", **size)


def _points(shards: Sequence[Tensor], queries: int) -> tuple[Tensor, Tensor]:
    """Noised items, (queries, 1, 32, 32) float32, at times from 0.05 to 1."""
    times = torch.linspace(0.05, 1.0, queries, dtype=torch.float64)
    point = build("schedule", "vp-cosine").at(times)
    clean = torch.stack([shards[i % 10][i % len(shards[0])] for i in range(queries)]).float() / 127.5 - 1.0
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(clean.shape, np.float32)).to(clean)
    alpha, sigma = (v.to(clean)[:, None, None, None] for v in (point.alpha, point.sigma))
    return alpha * clean + sigma * noise, times


def _rate(engine: PosteriorEngine, noised: Tensor, times: Tensor) -> Tensor:
    return engine.at(noised, build("schedule", "vp-cosine").at(times)).rate()


def _bare(shards: Sequence[Tensor], noised: Tensor, dtype: torch.dtype) -> Callable[[], Tensor]:
    """x Z^T and p Z of every shard, on items that have this type already; nothing else."""
    x = noised.flatten(1).to(dtype)
    ready = [(shard.flatten(1).float() / 127.5 - 1.0).to(dtype) for shard in shards]

    def run() -> Tensor:
        total = torch.zeros_like(x)
        for Z in ready:
            total.addmm_(x @ Z.T, Z)
        return total

    return run


@contextmanager
def _products_in(tf32: bool) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
