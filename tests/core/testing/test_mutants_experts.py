"""The kit bites: broken expert families are caught, and told what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from attrs import evolve, field, frozen
from conformance import Mutant, each_mutant, require_complaint, spoilt
from torch import Tensor, nn

from mixvel_core.field.conversions import add_noise, point_for
from mixvel_core.field.mixture import gaussian_denoiser
from mixvel_core.field.scale import to_float
from mixvel_core.plugin.kinds import Kind
from mixvel_core.protocols import Batch, ExpertConfig, Items, Moments, NoiseSchedule, Shard, TrainTask
from mixvel_core.randomness import seeded
from mixvel_core.testing.problems import Circle
from mixvel_core.training.options import TrainOptions

Answer = Callable[["GaussExpert", Tensor, Tensor], Tensor]


def _sound(expert: GaussExpert, x: Tensor, t: Tensor) -> Tensor:
    mean, variance = expert.mean.to(x), expert.variance.to(x)
    return gaussian_denoiser(x, point_for(expert.schedule, t, x), mean, variance)


@frozen(kw_only=True, eq=False)
class GaussExpert:
    """The denoiser of a Gaussian with the shard's moments; ``answer`` may spoil it."""

    schedule: NoiseSchedule
    mean: Tensor
    variance: Tensor
    moments: Moments | None
    answer: Answer = _sound
    tilt: float = 0.0

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        return self.answer(self, x, t)

    def log_density(self, x: Tensor, t: Tensor) -> Tensor:
        p = point_for(self.schedule, t, x)
        total = p.alpha**2 * self.variance.to(x) + p.sigma**2
        square = (x - p.alpha * self.mean.to(x)) ** 2 / total
        return (-0.5 * (square + total.log())).flatten(1).sum(1) + self.tilt * x.flatten(1).sum(1)


@frozen(kw_only=True)
class Gauss:
    """A sound family; each field is a way to spoil it."""

    answer: Answer = _sound
    kept: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda tensors: tensors
    shared: Callable[[Moments], Moments | None] = lambda moments: moments
    schedule: NoiseSchedule | None = None
    tilt: float = 0.0

    def task(self, shard: Shard, schedule: NoiseSchedule) -> TrainTask | None:
        return None

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        items = torch.tensor(to_float(shard.items[:])).double()
        return self.kept({"mean": items.mean(0), "variance": items.var(0, unbiased=False)})

    def load(self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> GaussExpert:
        mean = tensors.get("mean", torch.rand(config.shape, dtype=torch.float64))
        variance = tensors["variance"]
        return GaussExpert(
            schedule=self.schedule or schedule,
            mean=mean,
            variance=variance,
            moments=self.shared(Moments(mean=mean, variance=variance)),
            answer=self.answer,
            tilt=self.tilt,
        )


def _of_noise(e: GaussExpert, x: Tensor, t: Tensor) -> Tensor:
    p = point_for(e.schedule, t, x)
    return (x - p.sigma * (x - p.alpha * _sound(e, x, t)) / p.sigma) / p.alpha


def _without_mean(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"variance": tensors["variance"]}


EXPERTS: list[Mutant] = [
    ("nothing", Gauss(), ""),
    ("time off by a step", Gauss(answer=lambda e, x, t: _sound(e, x, (t - 0.05).clamp_min(0.0))), "density"),
    ("time runs backwards", Gauss(answer=lambda e, x, t: _sound(e, x, 1 - t)), "known_limits"),
    ("density of another law", Gauss(tilt=0.3), "density"),
    ("depends on the batch", Gauss(answer=lambda e, x, t: _sound(e, x, t) + 0.01 * (x - x.mean(0))), "rows"),
    ("edits x", Gauss(answer=lambda e, x, t: x.copy_(_sound(e, x, t))), "arguments"),
    ("divides by zero", Gauss(answer=_of_noise), "ends"),
    ("random answers", Gauss(answer=lambda e, x, t: _sound(e, x, t) + 0.1 * torch.rand_like(x)), "repeatable"),
    ("always float32", Gauss(answer=lambda e, x, t: _sound(e, x, t).float()), "answers"),
    ("forgets a tensor", Gauss(kept=_without_mean), "round_trip"),
    ("numbers as tensors", Gauss(kept=lambda t: {**t, "n": 3}), "answers"),  # type: ignore[dict-item]  # the mistake
    ("a schedule of its own", Gauss(schedule=spoilt(Circle(), at=lambda self, t: Circle().at(1 - t))), "schedule"),
    ("negative variance", Gauss(shared=lambda m: evolve(m, variance=-m.variance)), "moments"),
    ("moments of bytes", Gauss(shared=lambda m: evolve(m, mean=127.5 * (m.mean + 1))), "moments"),
    ("moments of everything at once", Gauss(shared=lambda m: evolve(m, mean=m.mean.mean())), "moments"),
]


@frozen(kw_only=True)
class Fit:
    """Squared error of a linear map of x."""

    network: nn.Module
    schedule: NoiseSchedule
    named: str = "loss"

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        x = add_noise(batch.x_0, batch.eps, point_for(self.schedule, batch.t, batch.x_0))
        return {self.named: (network(x.flatten(1)) - batch.x_0.flatten(1)).square().mean()}


@frozen(kw_only=True, eq=False)
class FitTask:
    shard: Shard
    schedule: NoiseSchedule
    shards: None = None
    options: TrainOptions = field(factory=lambda: TrainOptions(steps=2, batch=4, warmup=1))
    named: str = "loss"
    seeded: bool = True
    half: bool = False
    extra: Any = None

    @property
    def items(self) -> Items:
        return self.shard.items[: self.shard.count // 2] if self.half else self.shard.items

    def objective(self, seed: int) -> Fit:
        D = int(torch.tensor(self.shard.shape).prod())
        with seeded(seed if self.seeded else int(torch.randint(1 << 30, ()))):
            return Fit(network=nn.Linear(D, D), schedule=self.schedule, named=self.named)


@frozen(kw_only=True)
class Trained(Gauss):
    """A family whose task is spoilt; what it makes is sound."""

    spoil: Mapping[str, Any] = field(factory=dict)

    def task(self, shard: Shard, schedule: NoiseSchedule) -> TrainTask:
        return FitTask(shard=shard, schedule=schedule, **self.spoil)


TASKS: list[Mutant] = [
    ("nothing", Trained(), ""),
    ("a lambda inside", Trained(spoil={"extra": lambda: 0}), "training"),
    ("weights of no seed", Trained(spoil={"seeded": False}), "training"),
    ("half of the shard", Trained(spoil={"half": True}), "training"),
]


@each_mutant({"expert": [*EXPERTS, *TASKS]})
def test_broken_components_are_named_and_sound_ones_pass(kind: Kind, component: object, check: str) -> None:
    require_complaint(kind, check, component)
