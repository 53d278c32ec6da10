"""Networks of a user's own code: which code may run, how it makes a network, and the network as a function of (x, t).

A recipe may come from elsewhere, or lie in a run folder from elsewhere, and ``os:system`` is an import path too. So a
recipe by itself runs nothing: whoever runs mixvel names the packages that may be imported, in the environment
(MIXVEL_TRUST).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import frozen
from torch import Tensor, nn

from mixvel_core.errors import RecipeError, SamplingError
from mixvel_core.randomness import seeded

TRUST = "MIXVEL_TRUST"
_OURS = "mixvel_foreign.examples"


def check_trusted(path: str, what: str) -> None:
    """Raises RecipeError unless the module of ``path``, or a package it is in, is trusted; ``what``: the plugin."""
    module = path.partition(":")[0]
    trusted = {name.strip() for name in os.environ.get(TRUST, "").split(",")} | {_OURS}
    parts = module.split(".")
    if not any(".".join(parts[: i + 1]) in trusted for i in range(len(parts))):
        raise RecipeError(
            f"{what}: {path} is code that the recipe wants to run as you; if you trust it, set {TRUST}={parts[0]}"
        )


def make(path: str, arguments: Mapping[str, Any], what: str) -> Callable[[Tensor, Tensor], Any]:
    """The network that the factory at ``package.module:name`` makes.

    The random numbers of its initial weights are the same every time. Raises RecipeError, naming the plugin ``what``,
    where the factory is not trusted, cannot be imported, does not take the arguments, or makes nothing callable.
    """
    check_trusted(path, what)
    module, _, name = path.partition(":")
    try:
        factory = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"{what}: {path}: no module {error.name}; install it, or run with PYTHONPATH=FOLDER of it"
        ) from None
    except AttributeError:
        raise RecipeError(f"{what}: {path}: {module} has no {name}") from None
    # Any exception: a user's module raises what it likes.
    except Exception as error:
        raise RecipeError(f"{what}: {path}: importing it raised {type(error).__name__}: {error}") from error
    try:
        with seeded(0):
            made = factory(**arguments)
    except Exception as error:
        raise RecipeError(f"{what}: {path} raised {type(error).__name__}: {error}") from error
    if not callable(made):
        raise RecipeError(f"{what}: {path} made a {type(made).__name__}, which cannot be called")
    network: Callable[[Tensor, Tensor], Any] = made
    return network


@frozen(kw_only=True)
class TimeConvention:
    """The time that a network is given at t: t itself, T t, or T t - 1, the entry of a table counted from 0.

    ``length``: T. ``rounded``: whether it is rounded to an integer (and stays a float), as in training.
    ``reversed_time``: whether it is that of 1 - t, of networks whose data are at time 1.
    """

    time: Literal["unit", "scaled", "entries"]
    length: int
    rounded: bool
    reversed_time: bool = False

    def __call__(self, t: Tensor) -> Tensor:
        """The network's times for t, (B,), in [0, 1]; entries do not fall below 0, where a table begins."""
        if self.reversed_time:
            t = 1.0 - t
        if self.time == "unit":
            return t
        # In float64: 1000 t in float32 errs by more than rounding to integers forgives.
        time = self.length * t.double()
        if self.time == "entries":
            time = (time - 1.0).clamp_min(0.0)
        return (time.round() if self.rounded else time).to(t.dtype)


class TimedNetwork(nn.Module):
    """A network of (x, time) as one of (x, t), by its time convention.

    ``backwards``: its output with the other sign, as of a flow that leads from noise to data.
    """

    def __init__(self, network: nn.Module, *, convention: TimeConvention, backwards: bool = False) -> None:
        super().__init__()
        self.network = network
        self.convention = convention
        self.backwards = backwards

    def forward(self, x: Tensor, t: Tensor, *given: Tensor) -> Tensor:
        """The network's output at x, (B, *data), and times t, (B,), with what else it is given."""
        output: Tensor = self.network(x, self.convention(t), *given)
        return -output if self.backwards else output


class UserNetwork(nn.Module):
    """A user's own callable ``inner`` of (x, time); ``name`` of it for errors.

    A module computes in the type of its parameters. ``mean``: whether it returns a distribution, as azula's denoisers
    do, whose mean is taken. ``pointwise``: whether its output has the shape of x.
    """

    def __init__(
        self, inner: Callable[[Tensor, Tensor], Any], *, name: str, mean: bool = False, pointwise: bool = True
    ) -> None:
        super().__init__()
        self.inner = inner
        self.name = name
        self.mean = mean
        self.pointwise = pointwise

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """The output in the type of x. Raises SamplingError where the callable fails or returns something else."""
        parameters = self.inner.parameters() if isinstance(self.inner, nn.Module) else ()
        dtype = next((p.dtype for p in parameters if p.is_floating_point()), x.dtype)
        try:
            answer = self.inner(x.to(dtype), time.to(dtype))
            answer = answer.mean if self.mean else answer
        # Any exception: it is the user's own code.
        except Exception as error:
            raise SamplingError(
                f"{self.name} raised {type(error).__name__} for x of shape {tuple(x.shape)}: {error}"
            ) from error
        if not isinstance(answer, Tensor):
            what = f"{self.name} returned a {type(answer).__name__}, not a tensor"
            raise SamplingError(f"{what}; return its part with the prediction, `.sample` or `[0]` for example")
        if self.pointwise and answer.shape != x.shape:
            # torch would stretch one channel over three without a word.
            raise SamplingError(
                f"{self.name} returned {_sides(answer)} for points {_sides(x)}; a prediction has the shape of the "
                "points: cut off a learned variance, or give data of its size"
            )
        return answer.to(x.dtype)


def _sides(value: Tensor) -> str:
    return f"({', '.join(map(str, value.shape))})"
