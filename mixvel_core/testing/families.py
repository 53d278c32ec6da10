"""From a family to what it makes: its networks are trained as a run would train them, by the same loop."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.errors import ConformanceError, MixvelError
from mixvel_core.protocols import (
    Batch,
    Expert,
    ExpertConfig,
    ExpertFamily,
    Job,
    Router,
    RouterConfig,
    RouterFamily,
    TrainTask,
)
from mixvel_core.protocols.progress import Silent
from mixvel_core.randomness import normal
from mixvel_core.testing.check import gap, require, require_finite
from mixvel_core.testing.problems import SmallProblem, images, vectors
from mixvel_core.training.batches import Batches
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.loop import train
from mixvel_core.training.world import World

_CPU = torch.device("cpu")
MadeT = TypeVar("MadeT")


@frozen(kw_only=True, eq=False)
class TrainedExpert:
    """The expert of a problem's first shard, and what it was made from."""

    problem: SmallProblem
    config: ExpertConfig
    tensors: Mapping[str, Tensor]
    expert: Expert


@frozen(kw_only=True, eq=False)
class TrainedRouter:
    """The router of a problem's shards, and what it was made from."""

    problem: SmallProblem
    config: RouterConfig
    tensors: Mapping[str, Tensor]
    router: Router


def make_expert(family: ExpertFamily, problem: SmallProblem) -> TrainedExpert:
    """Trains, stores and loads the expert of the first shard."""
    shard = problem.shards[0]
    task = family.task(shard, problem.schedule)
    trained = None if task is None else _trained("expert-0", task)
    tensors = _plain(family.tensors(shard, trained))
    config = ExpertConfig(index=0, count=shard.count, fraction=shard.fraction, shape=shard.shape)
    expert = family.load(config, _copy(tensors), problem.schedule)
    return TrainedExpert(problem=problem, config=config, tensors=tensors, expert=expert)


def make_router(family: RouterFamily, problem: SmallProblem) -> TrainedRouter:
    """Trains, stores and loads the router of all shards."""
    tasks = family.tasks(problem.shards, problem.schedule)
    trained = {name: _trained(f"router-{name}", task) for name, task in tasks.items()}
    tensors = _plain(family.tensors(problem.shards, trained))
    config = RouterConfig(fractions=problem.fractions, shape=problem.shape)
    router = family.load(config, _copy(tensors), problem.schedule)
    return TrainedRouter(problem=problem, config=config, tensors=tensors, router=router)


def made_experts(family: ExpertFamily) -> list[TrainedExpert]:
    """The expert of every problem that the family can work with."""
    return _made(lambda problem: make_expert(family, problem))


def made_routers(family: RouterFamily) -> list[TrainedRouter]:
    """The router of every problem that the family can work with."""
    return _made(lambda problem: make_router(family, problem))


def _made(make: Callable[[SmallProblem], MadeT]) -> list[MadeT]:
    made, refusals = [], []
    for problem in _problems():
        try:
            made.append(make(problem))
        except MixvelError as error:
            refusals.append(_refusal(problem, error))
    _require_any(bool(made), refusals)
    return made


def check_task(name: str, task: TrainTask) -> None:
    """A task can be sent to a worker, starts from its seed's weights, and has a finite loss called ``loss``."""
    try:
        same = pickle.loads(pickle.dumps(task))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConformanceError(
            f"{name} cannot be pickled: {error}",
            "make it a frozen attrs class of plain fields and functions of a module: no lambdas, no open files",
        ) from None
    require(
        len(same.items) == len(task.items),
        f"{name} has {len(same.items)} items after pickling, {len(task.items)} before",
        "let a task hold shards and options, and open its items when it is asked for them",
    )
    objective, again = task.objective(3), task.objective(3)
    for (key, one), (_, other) in zip(
        objective.network.state_dict().items(), again.network.state_dict().items(), strict=True
    ):
        require(
            torch.equal(one, other),
            f"{name}: objective(3) gives other weights {key} each time",
            "make the network within `mixvel_core.randomness.seeded(seed)`",
        )
    losses = objective.losses(objective.network, _batch(task))
    require(
        "loss" in losses,
        f"{name}: its losses are called {', '.join(losses) or 'nothing'}",
        'call the one that is minimised "loss"',
    )
    for key, loss in losses.items():
        require(
            loss.ndim == 0,
            f"{name}: {key} has shape {tuple(loss.shape)}, not the shape of a number",
            "take its mean over the batch",
        )
        require_finite(f"{name}: {key}", loss.detach(), "look at its first batch: t covers earliest_t to latest_t")
    require(
        losses["loss"].requires_grad,
        f"{name}: the loss has no gradient",
        "compute it with the `network` it is given, outside of no_grad and without detach",
    )


def check_same_answers(what: str, one: Tensor, other: Tensor) -> None:
    """What was stored and loaded answers as what was loaded before."""
    require(
        gap(other, one) == 0.0,
        f"{what} loaded a second time from the same tensors answers differently, by {gap(other, one):.2g}",
        "let `tensors` return everything that `load` needs, and let `load` draw nothing at random",
    )


def _trained(name: str, task: TrainTask) -> dict[str, Tensor]:
    with TemporaryDirectory() as folder:
        job = Job(name=name, task=task, seed=11, folder=Path(folder))
        train(job, device=_CPU, progress=Silent())
        return read_trained(Path(folder))


def _batch(task: TrainTask) -> Batch:
    job = Job(name="conformance", task=task, seed=3, folder=Path())
    return Batches(job, _CPU, World()).at(0)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    fix = "return a mapping of names to tensors; numbers become 0-dimensional tensors"
    for name, value in tensors.items():
        fine = isinstance(name, str) and isinstance(value, Tensor)
        require(fine, f"tensors() holds {name!r}: {type(value).__name__}", fix)
    return dict(tensors)


def _copy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As they come out of a file: detached, contiguous, on the CPU, nobody else's."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}


def reloaded_expert(family: ExpertFamily, made: TrainedExpert) -> Expert:
    """The same expert once more, from its tensors alone."""
    return family.load(made.config, _copy(made.tensors), made.problem.schedule)


def reloaded_router(family: RouterFamily, made: TrainedRouter) -> Router:
    """The same router once more, from its tensors alone."""
    return family.load(made.config, _copy(made.tensors), made.problem.schedule)


def probes(
    problem: SmallProblem, times: tuple[float, ...], dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Noisy points and their times, one for each of ``times``."""
    t = torch.tensor(times, dtype=dtype)
    return problem.noisy(t), t


def fresh_noise(problem: SmallProblem, count: int) -> Tensor:
    """Where trajectories start: standard normal points, (count, *data)."""
    return normal(17, torch.arange(count), problem.shape, torch.float32)


def _problems() -> tuple[SmallProblem, ...]:
    return vectors(), images()


def _refusal(problem: SmallProblem, error: MixvelError) -> str:
    return f"{problem.name}: {str(error).splitlines()[0]}"


def _require_any(found: bool, refusals: list[str]) -> None:
    require(
        found,
        f"example() works with none of the kit's data ({' | '.join(refusals)})",
        "let example() read vectors in two dimensions with a known law, or grey images of 8x8 pixels",
    )
