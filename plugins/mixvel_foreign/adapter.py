"""A network in memory as an expert, for Python without a recipe: what it predicts, under which schedule and time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mixvel_core.errors import UsageError
from mixvel_core.field.conversions import Prediction
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import Moments, NoiseSchedule
from mixvel_foreign.user_networks import TimeConvention, TimedNetwork, UserNetwork
from mixvel_networks.denoiser import LEAST_ALPHA, NetworkDenoiser, for_use

_PREDICTIONS = ("x0", "eps", "v", "flow")
_TIMES = ("unit", "scaled", "entries")


def module_expert(
    network: Callable[[Tensor, Tensor], Any],
    *,
    prediction: Prediction,
    schedule: NoiseSchedule | str,
    time: Literal["unit", "scaled", "entries"] = "unit",
    length: int = 1000,
    rounded: bool = False,
    reversed_time: bool = False,
    clip: bool = False,
    moments: Moments | None = None,
) -> NetworkDenoiser:
    """``module_expert(net, prediction="eps", schedule="ddpm-table", time="entries")``: a network as a ``Sampler`` takes
    it.

    Args:
        network: (x, time) -> prediction, (B, *data). A module is put into evaluation mode, without gradients.
        prediction: what it predicts: x_0, eps, v = alpha eps - sigma x_0, or the flow eps - x_0.
        schedule: what it was trained under, itself or the name of a plugin with its usual options.
        time: its time at t, with t = 0 data and t = 1 noise: t itself; T t; or T t - 1, the entry of a table from 0.
        length: T of the latter two.
        rounded: whether its times are rounded to integers, and stay floats.
        reversed_time: whether its time is 1 at the data and 0 at pure noise; then a flow leads from noise to data.
        clip: keep the denoiser within [-1, 1].
        moments: mean and variance of its shard, (*data) each, for selectors and routers that want them.

    Returns:
        The denoiser m(x, t) of the network, at its own schedule.

    Raises:
        UsageError: prediction or time is not one of those, the network cannot be called, or it predicts eps down to
            alpha = 0 and ``moments`` are not there.
        PluginError: no schedule has this name.
    """
    if prediction not in _PREDICTIONS:
        raise UsageError(f"prediction {prediction!r} is not known; there are {', '.join(_PREDICTIONS)}")
    if time not in _TIMES:
        raise UsageError(f"time {time!r} is not known; there are {', '.join(_TIMES)}")
    if not callable(network):
        raise UsageError(f"a {type(network).__name__} cannot be called as (x, time); give the network itself")
    if isinstance(network, nn.Module):
        network = for_use(network, None)
    own = _schedule(schedule) if isinstance(schedule, str) else schedule
    last = float(own.at(torch.ones((), dtype=torch.float64)).alpha)
    if prediction == "eps" and moments is None and last < LEAST_ALPHA:
        raise UsageError(
            f"at t = 1 alpha is {last:.2g}, where the noise that is predicted says nothing of the data: give `moments` "
            "of its data, `mixvel_core.field.mixture.item_moments(items)` of some of them"
        )
    inner = UserNetwork(network, name=f"the network {type(network).__name__}")
    convention = TimeConvention(time=time, length=length, rounded=rounded, reversed_time=reversed_time)
    backwards = reversed_time and prediction == "flow"
    return NetworkDenoiser(
        schedule=own,
        moments=moments,
        network=TimedNetwork(inner, convention=convention, backwards=backwards),
        prediction=prediction,
        clip=clip,
    )


def _schedule(name: str) -> NoiseSchedule:
    definition = load_registry().get("schedule", name)
    schedule: NoiseSchedule = definition.build(definition.options())
    return schedule
