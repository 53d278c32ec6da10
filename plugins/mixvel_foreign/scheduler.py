"""A scheduler_config.json of diffusers: the schedule (beta table, EDM, flow) and prediction of its network.

EDM's path x_0 + s eps, s = tan(a t), is that of alpha = cos(a t), sigma = sin(a t) up to the scale alpha of x_t, so
both have the same denoiser.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.errors import DataError, UsageError
from mixvel_core.field.beta_table import BetaShape, BetaTable, leading_times, usual_betas
from mixvel_core.field.conversions import Prediction, expand
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import NoiseSchedule, SchedulePoint


@frozen(kw_only=True)
class SteppedTable:
    """A beta table with the steps of its scheduler; entry j of T, counted from 0, lies at t = (j + 1) / T.

    ``spacing``, ``offset``: which entries N steps visit (diffusers' timestep_spacing and steps_offset). ``to_clean``:
    whether the last step ends at t = 0 (set_alpha_to_one), or at entry 0.
    """

    table: BetaTable
    spacing: Literal["leading", "trailing", "linspace"]
    offset: int
    to_clean: bool

    def at(self, t: Tensor) -> SchedulePoint:
        """alpha, sigma and their derivatives at t, those of the table."""
        return self.table.at(t)

    def times(self, steps: int) -> Sequence[float]:
        """N + 1 falling times; N where the last step would stand still."""
        T = len(self.table.c0)
        if self.spacing == "leading":
            visited = leading_times(T, steps, self.offset)[:-1]
        elif steps > T:
            raise UsageError(f"{steps} steps, but the table of the schedule has {T} entries; take fewer steps")
        elif self.spacing == "trailing":
            visited = [float(v) / T for v in np.round(np.arange(T, 0, -T / steps))[:steps]]
        else:
            visited = [(float(v) + 1.0) / T for v in np.linspace(0, T - 1, steps).round()[::-1]]
        end = 0.0 if self.to_clean else 1.0 / T
        return [t for t in visited if t > end] + [end]


@frozen(kw_only=True)
class EDMSchedule:
    """alpha = cos(a t), sigma = sin(a t), with tan(a) the largest noise that the network was trained on."""

    sigma_max: float
    sigma_min: float
    rho: float

    @property
    def angle(self) -> float:
        """a, the largest angle atan(sigma/alpha)."""
        return math.atan(self.sigma_max)

    def at(self, t: Tensor) -> SchedulePoint:
        """alpha, sigma and their derivatives at t."""
        a = self.angle
        alpha, sigma = (a * t).cos(), (a * t).sin()
        return SchedulePoint(alpha=alpha, sigma=sigma, d_alpha=-a * sigma, d_sigma=a * alpha, dd_alpha=-(a**2) * alpha)

    def time_of(self, angle: Tensor) -> Tensor:
        """The t with atan(sigma/alpha) = a t = ``angle``."""
        return angle / self.angle

    def times(self, steps: int) -> Sequence[float]:
        """The Karras grid: even in s^(1/rho) from sigma_max to sigma_min, then clean data."""
        first, last = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        u = [i / max(steps - 1, 1) for i in range(steps)]
        return [*(math.atan((first + w * (last - first)) ** self.rho) / self.angle for w in u), 0.0]


class EDMDenoiser(nn.Module):
    """An EDM network as the denoiser of points of ``schedule``: m = c_skip x + c_out F(c_in x, c_noise)."""

    def __init__(self, network: nn.Module, *, schedule: EDMSchedule, sigma_data: float, velocity: bool) -> None:
        super().__init__()
        self.network = network
        self.schedule = schedule
        self.sigma_data = sigma_data
        self.sign = -1.0 if velocity else 1.0

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """m(x, t), (B, *data)."""
        p = self.schedule.at(t.double())
        # EDM's factors times alpha, so that nothing is divided by it.
        spread = torch.hypot(p.sigma, self.sigma_data * p.alpha)
        c_noise = 0.25 * (p.sigma / p.alpha).clamp_min(self.schedule.sigma_min).log()
        skip, out = self.sigma_data**2 * p.alpha / spread**2, self.sign * self.sigma_data * p.sigma / spread
        shaped = [expand(c.to(x), x) for c in (skip, out, 1.0 / spread)]
        F: Tensor = self.network(shaped[2] * x, c_noise.to(x))
        return shaped[0] * x + shaped[1] * F


TABLES = (
    "DDPM", "DDPMParallel", "DDIM", "DDIMParallel", "DDIMInverse", "PNDM", "IPNDM", "LCM", "TCD", "DEISMultistep",
    "DPMSolverMultistep", "DPMSolverSinglestep", "DPMSolverSDE", "EulerDiscrete", "EulerAncestralDiscrete",
    "HeunDiscrete", "KDPM2Discrete", "KDPM2AncestralDiscrete", "LMSDiscrete", "UniPCMultistep", "SASolver", "RePaint",
)  # fmt: skip
"""Schedulers of networks that were trained on a table of betas; they differ in their samplers, not in the network."""
FLOWS = ("FlowMatchEulerDiscrete", "FlowMatchHeunDiscrete")
EDMS = ("EDMEuler", "EDMDPMSolverMultistep")

_PREDICTIONS: Mapping[str, Prediction] = {
    "epsilon": "eps",
    "v_prediction": "v",
    "sample": "x0",
    "flow_prediction": "flow",
}


@frozen(kw_only=True)
class NetworkTraining:
    """How a network was trained.

    ``style``: its time at t: the entry of a table of ``length`` T, T t, or an EDM's log(sigma)/4. ``clip``: whether its
    scheduler clips the clean part of each step. ``sigma_data``: of EDM.
    """

    schedule: NoiseSchedule
    style: Literal["table", "flow", "edm"]
    prediction: Prediction
    length: int = 1
    clip: bool = False
    sigma_data: float = 0.5


def training_of(config: Mapping[str, Any], where: str) -> NetworkTraining:
    """How the network of a scheduler's configuration was trained; ``where``: the file, for errors.

    Raises DataError where the kind of scheduler or one of its values is unknown or cannot be used.
    """
    name = str(config.get("_class_name", "")).removesuffix("Scheduler")
    kind = str(config.get("prediction_type", "epsilon"))
    prediction = _PREDICTIONS.get(kind)
    if prediction is None:
        raise DataError(f"{where}: prediction_type {kind!r} is not known; there are {', '.join(_PREDICTIONS)}")
    try:
        if name in TABLES:
            clip = bool(config.get("clip_sample", False))
            return NetworkTraining(
                schedule=_table(config, where), style="table", prediction=prediction, length=_length(config), clip=clip
            )
        if name in FLOWS:
            # The plugin's own, so that it equals the schedule of a recipe that says `rectified`: nothing is converted.
            definition = load_registry().get("schedule", "rectified")
            schedule: NoiseSchedule = definition.build(definition.options())
            return NetworkTraining(schedule=schedule, style="flow", prediction="flow", length=_length(config))
        if name in EDMS:
            usual = {"sigma_max": 80.0, "sigma_min": 0.002, "rho": 7.0}
            edm = EDMSchedule(**{key: float(config.get(key, value)) for key, value in usual.items()})
            sigma_data = float(config.get("sigma_data", 0.5))
            return NetworkTraining(schedule=edm, style="edm", prediction=prediction, sigma_data=sigma_data)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: a value is of the wrong type ({error})") from None
    raise DataError(
        f"{where}: the scheduler {config.get('_class_name')!r} is not known; there are those of beta tables (DDPM, "
        "DDIM, PNDM, Euler, DPM-Solver, ...), EDM and flow matching; or use torch-module and declare the schedule"
    )


def _length(config: Mapping[str, Any]) -> int:
    return int(config.get("num_train_timesteps", 1000))


def _table(config: Mapping[str, Any], where: str) -> SteppedTable:
    if config.get("rescale_betas_zero_snr"):
        raise DataError(f"{where}: rescale_betas_zero_snr makes the last beta 1, which no smooth schedule has")
    spacing = config.get("timestep_spacing", "leading")
    if spacing not in ("leading", "trailing", "linspace"):
        raise DataError(f"{where}: timestep_spacing {spacing!r} is not known")
    return SteppedTable(
        table=BetaTable.from_betas(_betas(config, where)),
        spacing=spacing,
        offset=int(config.get("steps_offset", 0)),
        to_clean=bool(config.get("set_alpha_to_one", True)),
    )


_USUAL: Mapping[str, BetaShape] = {
    "linear": "linear",
    "scaled_linear": "scaled-linear",
    "squaredcos_cap_v2": "squared-cosine",
}


def _betas(config: Mapping[str, Any], where: str) -> list[float]:
    trained = config.get("trained_betas")
    if trained is not None:
        return [float(beta) for beta in trained]
    shape, steps = config.get("beta_schedule", "linear"), _length(config)
    first, last = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02))
    if shape in _USUAL:
        return usual_betas(_USUAL[shape], steps, first, last)
    if shape == "sigmoid":
        return [first + (last - first) / (1.0 + math.exp(-u)) for u in np.linspace(-6.0, 6.0, steps).tolist()]
    raise DataError(f"{where}: beta_schedule {shape!r} is not known; give trained_betas instead")
