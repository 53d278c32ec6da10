"""The streaming engine against plain formulas in float64, against autograd, and against itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from exact import all_schedules
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixvel_core.errors import DataError
from mixvel_core.field import posterior as engine_module
from mixvel_core.field.conversions import velocity
from mixvel_core.field.posterior import PosteriorEngine, widened
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import NoiseSchedule, SchedulePoint
from mixvel_schedules.schedules import Cosine

SCHEDULES = all_schedules()


class Plain:
    """D2, P1 and P2 as they are written, with every pair of query and item, in float64."""

    def __init__(self, shards: Sequence[Any], x: Tensor, p: SchedulePoint) -> None:
        parts = [torch.from_numpy(to_float(np.asarray(s)).astype(np.float64)).flatten(1) for s in shards]
        self.x, self.p, self.items = x.double().flatten(1), p, torch.cat(parts)
        self.owner = torch.cat([torch.full((len(part),), k) for k, part in enumerate(parts)])
        self.count = len(parts)
        self.apart = self.x[:, None] - p.alpha[:, None, None] * self.items
        self.logits = -(self.apart**2).sum(-1) / (2 * p.sigma[:, None] ** 2)
        self.a = torch.stack([self._of(k, self.logits).logsumexp(1) for k in range(self.count)], dim=1).softmax(1)
        self.m = self.logits.softmax(1) @ self.items
        self.m_k = torch.stack([self._of(k, self.logits).softmax(1) @ part for k, part in enumerate(parts)], dim=1)

    def _of(self, k: int, values: Tensor) -> Tensor:
        return values[:, self.owner == k]

    def rate(self, u: Tensor) -> Tensor:
        p, u = self.p, u.double().flatten(1)
        move = u[:, None] - p.d_alpha[:, None, None] * self.items
        inner = (self.apart * move).sum(-1)
        rise = -inner / p.sigma[:, None] ** 2 + (self.apart**2).sum(-1) * (p.d_sigma / p.sigma**3)[:, None]
        shards = range(self.count)
        mean = torch.stack([(self._of(k, self.logits).softmax(1) * self._of(k, rise)).sum(1) for k in shards], dim=1)
        # By pairs: a plain difference of averages would lose what is small.
        return self.a * torch.einsum("bj,bkj->bk", self.a, mean[:, :, None] - mean[:, None, :])

    def material(self) -> Tensor:
        columns = SchedulePoint(**{n: getattr(self.p, n)[:, None] for n in NAMES})
        return self.rate(velocity(self.m, self.x, columns))


NAMES = ("alpha", "sigma", "d_alpha", "d_sigma", "dd_alpha")


def clusters(shape: tuple[int, ...], counts: Sequence[int], seed: int = 0) -> list[np.ndarray]:
    """Bytes around a centre for each shard."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(128, 15, (len(counts), *shape))
    return [rng.normal(c, 45, (n, *shape)).clip(0, 255).astype(np.uint8) for c, n in zip(centres, counts, strict=True)]


def noised(shards: Sequence[np.ndarray], t: Tensor, schedule: NoiseSchedule, seed: int = 0) -> tuple[Tensor, ...]:
    """Points x and the velocity u of the noising that made each, for items taken in turn from all shards."""
    p = schedule.at(t.double())
    g = torch.Generator().manual_seed(seed)
    items = torch.from_numpy(to_float(np.concatenate(shards)).astype(np.float64)).flatten(1)
    x_0 = items[torch.arange(len(t)) * 7 % len(items)]
    eps = torch.randn(x_0.shape, dtype=torch.float64, generator=g)
    x, u = (a[:, None] * x_0 + s[:, None] * eps for a, s in ((p.alpha, p.sigma), (p.d_alpha, p.d_sigma)))
    return x.reshape(-1, *shards[0].shape[1:]), u.reshape(-1, *shards[0].shape[1:])


def by_row(found: Tensor, wanted: Tensor) -> float:
    """The largest error, relative to the largest entry of its row."""
    scale = wanted.abs().amax(1).clamp_min(1e-20)
    return float(((found.double() - wanted).abs().amax(1) / scale).max())


TIMES = torch.cat([torch.tensor([0.01, 0.02, 0.03]), torch.linspace(0.05, 1.0, 29)])


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("shape", "products"), [((1, 8, 8), "auto"), ((3, 16, 16), "auto"), ((1, 8, 8), "float32")])
def test_float32_points_have_the_float64_posterior_and_rates(name: str, shape: tuple[int, ...], products: Any) -> None:
    shards = clusters(shape, [150, 1, 90, 59])
    x, u = noised(shards, TIMES, SCHEDULES[name])
    x, p = x.float(), SCHEDULES[name].at(TIMES.double())
    found, plain = PosteriorEngine(shards=shards, products=products, block=64).at(x, p), Plain(shards, x, p)
    some = plain.a > 1e-30
    assert float(((found.a.double() - plain.a).abs() / plain.a)[some].max()) < 1e-5
    assert by_row(found.rate(), plain.material()) < 1e-5
    assert by_row(found.rate("path", u), plain.rate(u)) < 1e-5
    assert by_row(found.rate("partial"), plain.rate(torch.zeros_like(u))) < 1e-5
    assert found.m_k is not None
    torch.testing.assert_close(found.m.flatten(1), plain.m.float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.m_k.flatten(2), plain.m_k.float(), rtol=1e-5, atol=1e-5)


def test_float32_products_alone_would_not_do() -> None:
    """The errors that are computed away are there: without the second look they show."""
    shards = clusters((3, 16, 16), [150, 150])
    x = noised(shards, TIMES, Cosine())[0].float()
    p = Cosine().at(TIMES.double())
    plain, engine = Plain(shards, x, p), PosteriorEngine(shards=shards)
    rough = evolve(engine, tolerance=1e9).at(x, p).log_density
    wanted = torch.stack([plain._of(k, plain.logits).logsumexp(1) for k in range(2)], dim=1) - np.log(150)
    errors = [float((found - wanted).abs().max()) for found in (rough, engine.at(x, p).log_density)]
    assert errors[0] > 1e-3
    assert errors[1] < 1e-5


def test_far_from_zero_float32_loses_nothing() -> None:
    rng = np.random.default_rng(1)
    shards = [(rng.normal(50, 0.3, (60, 300)) + rng.normal(0, 0.1, 300)).astype(np.float32) for _ in range(3)]
    x = noised(shards, TIMES, Cosine())[0].float()
    p = Cosine().at(TIMES.double())
    found, plain = PosteriorEngine(shards=shards).at(x, p), Plain(shards, x, p)
    some = plain.a > 1e-30
    assert float(((found.a.double() - plain.a).abs() / plain.a)[some].max()) < 1e-5
    assert by_row(found.rate(), plain.material()) < 1e-5


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("path", ["material", "partial", "path"])
def test_rates_are_autograds_of_d2_along_the_path(name: str, path: Any) -> None:
    """d/dtau a(x + tau u, t + tau) at tau = 0, through nothing but D2."""
    shards = [torch.rand(n, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in (4, 7, 1)]
    schedule, engine = SCHEDULES[name], PosteriorEngine(shards=shards)
    t = torch.linspace(0.15, 0.95, 9, dtype=torch.float64)
    x, u = noised([s.numpy().astype(np.float32) for s in shards], t, schedule)
    answer = engine.at(x, schedule.at(t))
    columns = SchedulePoint(**{n: getattr(schedule.at(t), n)[:, None] for n in NAMES})
    along = {"material": velocity(answer.m, x, columns), "partial": torch.zeros_like(x), "path": u}[path]
    items = torch.cat(shards)
    owner = torch.nn.functional.one_hot(torch.tensor([0] * 4 + [1] * 7 + [2])).double()

    def posterior(tau: Tensor) -> Tensor:
        p = schedule.at(t + tau)
        squares = ((x + tau * along)[:, None] - p.alpha[:, None, None] * items).square().sum(-1)
        return (-squares / (2 * p.sigma[:, None] ** 2)).softmax(1) @ owner

    zero = torch.zeros((), dtype=torch.float64)
    wanted = torch.autograd.functional.jacobian(posterior, zero)  # type: ignore[no-untyped-call]  # torch leaves it so
    found = answer.rate(path, u if path == "path" else None)
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(found.sum(1), torch.zeros(9, dtype=torch.float64), rtol=0, atol=1e-12)


def test_path_rates_average_to_the_material_rate() -> None:
    """P1 is affine in u, and the mean velocity of the noisings that lead to x is v: E[rate(u)] = rate(v)."""
    shards = [s.astype(np.float32) / 127.5 - 1 for s in clusters((3,), [6, 9, 5])]
    items = torch.from_numpy(np.concatenate(shards)).double()
    t = torch.full((1,), 0.6, dtype=torch.float64)
    p = Cosine().at(t)
    x = noised(shards, t, Cosine())[0]
    chances = (-((x - p.alpha * items) ** 2).sum(1) / (2 * p.sigma**2)).softmax(0)
    engine, draws = PosteriorEngine(shards=shards), 20_000
    chosen = items[chances.multinomial(draws, replacement=True, generator=torch.Generator().manual_seed(0))]
    u = p.d_alpha * chosen + p.d_sigma * (x - p.alpha * chosen) / p.sigma
    many = SchedulePoint(**{n: getattr(p, n).expand(draws) for n in NAMES})
    rates = engine.at(x.expand(draws, -1), many).rate("path", u)
    error = (rates.mean(0) - engine.at(x, p).rate()[0]).abs()
    assert (error < 4 * rates.std(0) / draws**0.5).all()
    assert (rates.std(0) > 0.05 * engine.at(x, p).rate()[0].abs().max()).all()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 999), block=st.integers(1, 40), t=st.floats(0.01, 1.0), cut=st.integers(1, 19))
def test_blocks_and_cuts_change_nothing(seed: int, block: int, t: float, cut: int) -> None:
    (items,) = clusters((2, 3), [20], seed)
    p = Cosine().at(torch.full((6,), t, dtype=torch.float64))
    x = noised([items], torch.full((6,), t), Cosine(), seed)[0]
    whole = PosteriorEngine(shards=(items,)).at(x, p)
    parts = PosteriorEngine(shards=(items[:cut], items[cut:]), block=block).at(x, p)
    torch.testing.assert_close(parts.m, whole.m, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(parts.a.sum(1), torch.ones(6, dtype=torch.float64))
    total = (parts.log_density + torch.tensor([cut, 20 - cut]).double().log()).logsumexp(1) - np.log(20)
    torch.testing.assert_close(total, whole.log_density[:, 0], rtol=1e-10, atol=1e-9)
    assert torch.equal(whole.a, torch.ones_like(whole.a))
    assert not whole.rate().any()


@pytest.mark.parametrize("kind", ["file", "bytes", "floats", "tensor", "tensor of bytes"])
def test_items_may_lie_anywhere(tmp_path: Path, kind: str) -> None:
    shards = clusters((3, 12, 12), [40, 70])
    for k, items in enumerate(shards):
        np.save(tmp_path / f"{k}.npy", items)
    placed = {
        "file": [np.load(tmp_path / f"{k}.npy", mmap_mode="r") for k in range(2)],
        "bytes": shards,
        "floats": [to_float(s) for s in shards],
        "tensor": [torch.from_numpy(to_float(s)) for s in shards],
        "tensor of bytes": [torch.from_numpy(s) for s in shards],
    }[kind]
    x, p = noised(shards, TIMES, Cosine())[0].float(), Cosine().at(TIMES.double())
    found, wanted = (PosteriorEngine(shards=s, block=16).at(x, p) for s in (placed, shards))
    torch.testing.assert_close(found.a, wanted.a, rtol=1e-5, atol=1e-30)
    torch.testing.assert_close(found.rate(), wanted.rate(), rtol=1e-4, atol=1e-6)


def test_bfloat16_products_come_close_and_tighten_on_request() -> None:
    shards = clusters((3, 16, 16), [150, 150])
    x, p = noised(shards, TIMES, Cosine())[0].float(), Cosine().at(TIMES.double())
    wanted = Plain(shards, x, p).a
    rough = PosteriorEngine(shards=shards, products="bfloat16", tolerance=1e-2).at(x, p)
    fine = PosteriorEngine(shards=shards, products="bfloat16", tolerance=1e-6).at(x, p)
    errors = [float((answer.a.double() - wanted).abs().max()) for answer in (rough, fine)]
    assert errors[1] < 1e-5 < errors[0] < 0.05


def test_many_queries_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    shards = clusters((4,), [9, 5])
    x, p = noised(shards, TIMES, Cosine())[0], Cosine().at(TIMES.double())
    engine = PosteriorEngine(shards=shards)
    wanted = engine.at(x, p)
    monkeypatch.setattr(engine_module, "_ROOM", 5 * 2 * 4)
    turns = engine.at(x, p)
    for found, expected in ((turns.a, wanted.a), (turns.m, wanted.m), (turns.rate(), wanted.rate())):
        torch.testing.assert_close(found, expected)
    assert engine.at(x[:0], Cosine().at(TIMES[:0].double())).a.shape == (0, 2)


def test_a_width_is_noise_of_its_own() -> None:
    """Items blurred by b under sigma are sharp items under sqrt(sigma^2 + alpha^2 b^2); rates follow."""
    schedule, b, h = Cosine(), 0.3, 1e-6
    t = torch.tensor([0.05, 0.4, 0.9], dtype=torch.float64)
    p, after = (widened(schedule.at(time), b) for time in (t, t + h))
    torch.testing.assert_close(p.sigma**2, schedule.at(t).sigma ** 2 + b**2 * schedule.at(t).alpha ** 2)
    torch.testing.assert_close((after.sigma - p.sigma) / h, p.d_sigma, rtol=1e-4, atol=1e-4)


def test_clean_data_belong_to_their_own_shard() -> None:
    shards = clusters((3, 16, 16), [5, 5])
    x = torch.from_numpy(to_float(np.concatenate(shards)))
    p = Cosine().at(torch.zeros(10, dtype=torch.float64))
    answer = PosteriorEngine(shards=shards).at(x, p, means=False)
    assert torch.equal(answer.a, torch.tensor([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 5))


def test_what_was_not_asked_for_is_refused() -> None:
    shards = clusters((4,), [9, 5])
    x, p = noised(shards, TIMES, Cosine())[0], Cosine().at(TIMES.double())
    engine = PosteriorEngine(shards=shards)
    with pytest.raises(DataError, match="without means"):
        engine.at(x, p, means=False).rate()
    with pytest.raises(DataError, match="a velocity u belongs to"):
        engine.at(x, p).rate("path")
    with pytest.raises(DataError, match="shard 1: no items"):
        PosteriorEngine(shards=(shards[0], shards[1][:0]))
