"""A scheduler_config.json of diffusers: the schedule and the prediction of the network it was trained with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from attrs import frozen

from mixvel_core.errors import DataError
from mixvel_core.field.conversions import Prediction
from mixvel_core.protocols import NoiseSchedule
from mixvel_foreign.discrete import Discrete
from mixvel_foreign.edm import Arc
from mixvel_vp.rectified import Rectified
from mixvel_vp.table import betas_of, from_betas

TABLES = (
    "DDPM", "DDPMParallel", "DDIM", "DDIMParallel", "DDIMInverse", "PNDM", "IPNDM", "LCM", "TCD", "DEISMultistep",
    "DPMSolverMultistep", "DPMSolverSinglestep", "DPMSolverSDE", "EulerDiscrete", "EulerAncestralDiscrete",
    "HeunDiscrete", "KDPM2Discrete", "KDPM2AncestralDiscrete", "LMSDiscrete", "UniPCMultistep", "SASolver", "RePaint",
)  # fmt: skip
"""Schedulers of networks that were trained on a table of betas: they differ in how they sample, not in the network."""
FLOWS = ("FlowMatchEulerDiscrete", "FlowMatchHeunDiscrete")
EDMS = ("EDMEuler", "EDMDPMSolverMultistep")

_PREDICTIONS: Mapping[str, Prediction] = {
    "epsilon": "eps",
    "v_prediction": "v",
    "sample": "x0",
    "flow_prediction": "flow",
}


@frozen(kw_only=True)
class Training:
    """How a network was trained.

    ``style``: what it is told of t: the entry of a table of ``length`` T, T t, or an EDM's log(sigma)/4. ``clip``:
    whether its scheduler clips what it takes for clean. ``sigma_data``, ``sigma_min``: of EDM.
    """

    schedule: NoiseSchedule
    style: Literal["table", "flow", "edm"]
    prediction: Prediction
    length: int
    clip: bool
    sigma_data: float = 0.5
    sigma_min: float = 0.002


def training_of(config: Mapping[str, Any], where: str) -> Training:
    """What a scheduler's configuration says of the network; ``where`` it stands, for errors.

    Raises DataError where it is of a kind that is not known, or not usable.
    """
    name = str(config.get("_class_name", "")).removesuffix("Scheduler")
    kind = str(config.get("prediction_type", "epsilon"))
    prediction = _PREDICTIONS.get(kind)
    if prediction is None:
        raise DataError(f"{where}: prediction_type {kind!r} is not known; there are {', '.join(_PREDICTIONS)}")
    try:
        if name in TABLES:
            length = int(config.get("num_train_timesteps", 1000))
            clip = bool(config.get("clip_sample", False))
            return Training(
                schedule=_table(config, where), style="table", prediction=prediction, length=length, clip=clip
            )
        if name in FLOWS:
            length = int(config.get("num_train_timesteps", 1000))
            return Training(schedule=Rectified(), style="flow", prediction="flow", length=length, clip=False)
        if name in EDMS:
            highest, lowest = float(config.get("sigma_max", 80.0)), float(config.get("sigma_min", 0.002))
            return Training(
                schedule=Arc(sigma_max=highest, sigma_min=lowest, rho=float(config.get("rho", 7.0))),
                style="edm",
                prediction=prediction,
                length=1,
                clip=False,
                sigma_data=float(config.get("sigma_data", 0.5)),
                sigma_min=lowest,
            )
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: a value is of the wrong type ({error})") from None
    raise DataError(
        f"{where}: the scheduler {config.get('_class_name')!r} is not known; there are those of beta tables (DDPM, "
        "DDIM, PNDM, Euler, DPM-Solver, ...), EDM and flow matching; or use torch-module and declare the schedule"
    )


def _table(config: Mapping[str, Any], where: str) -> Discrete:
    if config.get("rescale_betas_zero_snr"):
        raise DataError(f"{where}: rescale_betas_zero_snr makes the last beta 1, which no smooth schedule has")
    spacing = config.get("timestep_spacing", "leading")
    if spacing not in ("leading", "trailing", "linspace"):
        raise DataError(f"{where}: timestep_spacing {spacing!r} is not known")
    return Discrete(
        table=from_betas(_betas(config, where)),
        spacing=spacing,
        offset=int(config.get("steps_offset", 0)),
        to_clean=bool(config.get("set_alpha_to_one", True)),
    )


def _betas(config: Mapping[str, Any], where: str) -> list[float]:
    trained = config.get("trained_betas")
    if trained is not None:
        return [float(beta) for beta in trained]
    shape = config.get("beta_schedule", "linear")
    steps = int(config.get("num_train_timesteps", 1000))
    first, last = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02))
    match shape:
        case "linear":
            return betas_of("linear", steps, first, last)
        case "scaled_linear":
            return betas_of("scaled-linear", steps, first, last)
        case "squaredcos_cap_v2":
            return betas_of("squared-cosine", steps, first, last)
        case "sigmoid":
            return [first + (last - first) / (1.0 + math.exp(-u)) for u in np.linspace(-6.0, 6.0, steps).tolist()]
    raise DataError(f"{where}: beta_schedule {shape!r} is not known; give trained_betas instead")
