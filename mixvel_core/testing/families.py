"""From a family to what it makes: its networks are trained as a run would train them, by the same loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar

import numpy as np
import torch
from attrs import Factory, field, frozen
from torch import Tensor

from mixvel_core.data.conditions import class_fractions
from mixvel_core.errors import MixvelError
from mixvel_core.pipeline.routers import router_tensors
from mixvel_core.protocols import (
    Codec,
    CodecFamily,
    Expert,
    ExpertConfig,
    ExpertFamily,
    Items,
    Job,
    Router,
    RouterConfig,
    RouterFamily,
    TrainTask,
)
from mixvel_core.protocols.progress import Silent
from mixvel_core.testing.check import pickled, require, require_finite, require_near
from mixvel_core.testing.problems import (
    Rows,
    SmallProblem,
    classed_images,
    classed_vectors,
    images,
    images_with_tokens,
    usable,
    vectors,
)
from mixvel_core.training.batches import Batches
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.loop import train
from mixvel_core.training.world import World

_CPU = torch.device("cpu")
MadeT = TypeVar("MadeT")
ComponentT = TypeVar("ComponentT")


@frozen(kw_only=True, eq=False)
class Made(Generic[ComponentT]):
    """What a family makes of a problem. ``load``: the component once more, from its stored tensors alone."""

    problem: SmallProblem
    load: Callable[[], ComponentT]
    component: ComponentT = field(default=Factory(lambda made: made.load(), takes_self=True))


def make_expert(family: ExpertFamily, problem: SmallProblem) -> Made[Expert]:
    """The expert of the first shard, trained, stored and loaded."""
    shard = problem.shards[0]
    task = family.task(shard, problem.schedule)
    tensors = _plain(family.tensors(shard, None if task is None else _trained("expert-0", task)))
    config = ExpertConfig(
        index=0, count=shard.count, fraction=shard.fraction, shape=shard.shape, conditions=shard.conditions
    )
    return Made(problem=problem, load=lambda: family.load(config, _copy(tensors), problem.schedule))


def made_experts(family: ExpertFamily) -> list[Made[Expert]]:
    """That expert of every problem that the family can work with."""
    return _of_every_problem(lambda problem: make_expert(family, problem))


def make_router(family: RouterFamily, problem: SmallProblem) -> Made[Router]:
    """The router of all shards, trained, stored and loaded."""
    tasks = family.tasks(problem.shards, problem.schedule)
    trained = {name: _trained(f"router-{name}", task) for name, task in tasks.items()}
    tensors = _plain(router_tensors(family, problem.shards, problem.schedule, trained))
    config = RouterConfig(
        fractions=tuple(shard.fraction for shard in problem.shards),
        shape=problem.shape,
        conditions=problem.shards[0].conditions,
        class_fractions=class_fractions(problem.shards),
    )
    return Made(problem=problem, load=lambda: family.load(config, _copy(tensors), problem.schedule))


def made_routers(family: RouterFamily) -> list[Made[Router]]:
    """The router of every problem that the family can work with."""
    return _of_every_problem(lambda problem: make_router(family, problem))


def with_classes(make: Callable[[SmallProblem], Made[ComponentT]]) -> Made[ComponentT] | None:
    """What is made of the first problem with classes, or with tokens, that the family can work with; None where there
    is none."""
    for problem in (classed_vectors(), classed_images(), images_with_tokens()):
        with suppress(MixvelError):
            return make(problem)
    return None


def codec_items(problem: SmallProblem) -> Items:
    """The items of all shards of a problem."""
    return Rows(array=np.concatenate([shard.items[:] for shard in problem.shards]))


def made_codecs(family: CodecFamily) -> list[Made[Codec]]:
    """The codec of the items of every problem that the family can work with, stored and loaded."""

    def make(problem: SmallProblem) -> Made[Codec]:
        tensors = _plain(family.tensors(codec_items(problem), 7))
        return Made(problem=problem, load=lambda: family.load(_copy(tensors), problem.shape))

    return _of_every_problem(make)


def _of_every_problem(make: Callable[[SmallProblem], MadeT]) -> list[MadeT]:
    return usable(
        (vectors(), images()),
        make,
        "works with none of the kit's data",
        "let example() read vectors in two dimensions with a known law, or grey images of 8x8 pixels",
        otherwise=images_with_tokens(),
    )


def check_task(name: str, task: TrainTask) -> None:
    """A task can be sent to a worker, starts from its seed's weights, and has a finite loss called ``loss``."""
    fix = "make it a frozen attrs class of plain fields and functions of a module: no lambdas, no open files"
    same = pickled(name, task, fix)
    require(
        len(same.items) == len(task.items),
        f"{name} has {len(same.items)} items after pickling, {len(task.items)} before",
        "let a task hold shards and options, and open its items when it is asked for them",
    )
    objective, again = task.objective(3), task.objective(3)
    others = again.network.state_dict()
    for key, one in objective.network.state_dict().items():
        fix = "make the network within `mixvel_core.randomness.seeded(seed)`"
        require(torch.equal(one, others[key]), f"{name}: objective(3) gives other weights {key} each time", fix)
    job = Job(name="conformance", task=task, seed=3, folder=Path())
    losses = objective.losses(objective.network, Batches(job, _CPU, World()).at(0))
    fix = 'call the one that is minimised "loss"'
    require("loss" in losses, f"{name}: its losses are called {', '.join(losses) or 'nothing'}", fix)
    for key, loss in losses.items():
        fix = "take its mean over the batch"
        require(loss.ndim == 0, f"{name}: {key} has shape {tuple(loss.shape)}, not the shape of a number", fix)
        require_finite(f"{name}: {key}", loss.detach(), "look at its first batch: t covers earliest_t to latest_t")
    fix = "compute it with the `network` it is given, outside of no_grad and without detach"
    require(losses["loss"].requires_grad, f"{name}: the loss has no gradient", fix)


def check_same_answers(what: str, one: Tensor, other: Tensor) -> None:
    """What was stored and loaded answers as what was loaded before."""
    require_near(
        other,
        one,
        f"{what} loaded a second time from the same tensors answers differently, by",
        "let `tensors` return everything that `load` needs, and let `load` draw nothing at random",
        within=0.0,
    )


def _trained(name: str, task: TrainTask) -> dict[str, Tensor]:
    with TemporaryDirectory() as folder:
        job = Job(name=name, task=task, seed=11, folder=Path(folder))
        train(job, device=_CPU, progress=Silent())
        return read_trained(Path(folder))


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    fix = "return a mapping of names to tensors; numbers become 0-dimensional tensors"
    for name, value in tensors.items():
        sound = isinstance(name, str) and isinstance(value, Tensor)
        require(sound, f"tensors() holds {name!r}: {type(value).__name__}", fix)
    return dict(tensors)


def _copy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As they come out of a file: detached, contiguous, on the CPU, nobody else's."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
