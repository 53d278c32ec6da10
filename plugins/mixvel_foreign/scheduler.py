"""A scheduler_config.json of diffusers: the schedule (beta table, EDM, flow) and prediction of its network.

Every key that changes what the network means is read, or refused by name; of those that are absent the class of the
scheduler has the values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from attrs import frozen

from mixvel_core.errors import DataError, RecipeError
from mixvel_core.field.beta_table import BetaShape, BetaTable, usual_betas
from mixvel_core.field.conversions import Prediction
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import NoiseSchedule
from mixvel_foreign.noise_paths import EDMSchedule, SteppedFlow, SteppedTable
from mixvel_foreign.scheduler_classes import EDMS, FLOWS, OWN_STEPS, TABLE_KEYS, TABLES, Keys, TableScheduler
from mixvel_foreign.zero_snr import ZeroSNRTable, rescaled_alphas

_PREDICTIONS: Mapping[str, Prediction] = {
    "epsilon": "eps",
    "v_prediction": "v",
    "sample": "x0",
    "flow_prediction": "flow",
}
_DECLARE = "use torch-module, and declare schedule, time and prediction"
_PUT_BACK = "put back what diffusers wrote"
_LONGEST = 100_000


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


def training_of(config: Mapping[str, Any], where: str, clip: bool | None = None) -> NetworkTraining:
    """How the network of a scheduler's configuration was trained.

    Args:
        config: what is in the file.
        where: the file, for errors.
        clip: whether the denoiser is kept within [-1, 1]; None: as the configuration says.

    Raises:
        DataError: the class of scheduler is not known, or one of its values cannot be used; names the key.
    """
    name = str(config.get("_class_name", "")).removesuffix("Scheduler")
    if name in TABLES:
        keys = _values({**TABLE_KEYS, **TABLES[name].keys}, config, where)
        return _table_training(name, keys, where, _clip(keys, where, clip))
    if name in FLOWS:
        keys = _values(FLOWS[name], config, where)
        if keys.get("invert_sigmas"):
            raise DataError(f"{where}: invert_sigmas turns the network's time round, which is not read; {_DECLARE}")
        flow = _stepped_flow(keys, where, keys["shift"], _unread(keys))
        return NetworkTraining(schedule=flow, style="flow", prediction="flow", length=flow.length, clip=bool(clip))
    if name in EDMS:
        keys = _values(EDMS[name], config, where)
        return _edm_training(keys, where, _clip(keys, where, clip))
    raise DataError(
        f"{where}: the scheduler {config.get('_class_name')!r} is not known; there are those of beta tables (DDPM, "
        f"DDIM, PNDM, Euler, DPM-Solver, ...), EDM and flow matching; or {_DECLARE}"
    )


def _values(defaults: Keys, config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values of all keys. Raises DataError where one is of another type, or the keys are of an old diffusers."""
    if "predict_epsilon" in config and "prediction_type" not in config:
        meant = "epsilon" if config["predict_epsilon"] else "sample"
        raise DataError(f"{where}: predict_epsilon is of diffusers before 0.8; write `prediction_type: {meant}` for it")
    values = {key: config.get(key, default) for key, default in defaults.items()}
    for key, default in defaults.items():
        if not _is_like(values[key], default):
            raise DataError(f"{where}: {key} is {values[key]!r:.60}, of the wrong type; leave it out for {default}")
    return values


def _is_like(value: object, default: object) -> bool:
    """Whether a key that is ``default`` where it is absent may have ``value``."""
    if isinstance(default, bool):
        return value is None or isinstance(value, bool)
    if isinstance(default, int):
        return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value % 1 == 0))
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
    return default is None or isinstance(value, str)


def _clip(keys: Keys, where: str, wanted: bool | None) -> bool:
    """Whether the denoiser is clipped. Raises DataError for bounds that are not read, unless one is ``wanted``."""
    if wanted is not None:
        return wanted
    either = "set `clip: true` ([-1, 1]) or `clip: false` of the expert in its place"
    if keys.get("thresholding"):
        raise DataError(f"{where}: thresholding (bounds from each sample's own quantiles) is not read; {either}")
    clip = bool(keys.get("clip_sample"))
    if clip and float(keys.get("clip_sample_range", 1.0)) != 1.0:
        raise DataError(f"{where}: clip_sample_range {keys['clip_sample_range']} is not read; {either}")
    return clip


def _prediction(keys: Keys, where: str, possible: tuple[Prediction, ...]) -> Prediction:
    kind = keys["prediction_type"]
    found = _PREDICTIONS.get(kind)
    if found is None:
        raise DataError(f"{where}: prediction_type {kind!r} is not known; there are {', '.join(_PREDICTIONS)}")
    if found not in possible:
        names = ", ".join(name for name, known in _PREDICTIONS.items() if known in possible)
        raise DataError(f"{where}: prediction_type {kind!r} does not go with this schedule, but {names}; {_DECLARE}")
    return found


def _length(keys: Keys, where: str) -> int:
    found = keys["num_train_timesteps"]
    if not 1 <= found <= _LONGEST:
        raise DataError(f"{where}: num_train_timesteps {found} is not in 1 to {_LONGEST}; {_PUT_BACK}")
    return int(found)


def _stepped_flow(keys: Keys, where: str, shift: float, unread: str) -> SteppedFlow:
    """The plugin's own flow, the schedule of a recipe that says `rectified`, with the steps of a scheduler."""
    if not 0 < shift < math.inf:
        raise DataError(f"{where}: shift {shift} is not above 0; {_PUT_BACK}")
    definition = load_registry().get("schedule", "rectified")
    flow = definition.build(definition.options())
    return SteppedFlow(flow=flow, length=_length(keys, where), shift=float(shift), unread=unread)


def _unread(keys: Keys) -> str:
    """The keys that change a scheduler's steps in a way that is not read; empty where none does."""
    return ", ".join(key for key, usual in OWN_STEPS.items() if key in keys and keys[key] not in (None, usual))


def _edm_training(keys: Keys, where: str, clip: bool) -> NetworkTraining:
    if not (0 < keys["sigma_min"] < keys["sigma_max"] < math.inf and keys["rho"] > 0 and keys["sigma_data"] > 0):
        raise DataError(f"{where}: sigma_min, sigma_max, rho or sigma_data is out of range; {_PUT_BACK}")
    unread = "" if keys["sigma_schedule"] == "karras" else f"sigma_schedule {keys['sigma_schedule']!r}"
    schedule = EDMSchedule(
        sigma_max=float(keys["sigma_max"]),
        sigma_min=float(keys["sigma_min"]),
        rho=float(keys["rho"]),
        to_clean=keys["final_sigmas_type"] != "sigma_min",
        unread=unread,
    )
    prediction = _prediction(keys, where, ("eps", "v"))
    sigma_data = float(keys["sigma_data"])
    return NetworkTraining(schedule=schedule, style="edm", prediction=prediction, clip=clip, sigma_data=sigma_data)


def _table_training(name: str, keys: Keys, where: str, clip: bool) -> NetworkTraining:
    length = _length(keys, where)
    if keys.get("use_flow_sigmas"):
        prediction = _prediction(keys, where, ("eps", "x0", "flow"))
        # Its times are cut to integers, its last step is one of the beta table.
        flow = _stepped_flow(keys, where, 1.0, f"how {_named(name)} lays out its steps for flows")
        return NetworkTraining(schedule=flow, style="flow", prediction=prediction, length=length, clip=clip)
    if (kind := keys.get("timestep_type", "discrete")) != "discrete":
        raise DataError(f"{where}: timestep_type {kind!r} (times of log sigma) is not read; {_DECLARE}")
    prediction = _prediction(keys, where, ("eps", "v", "x0"))
    if prediction == "eps" and keys.get("rescale_betas_zero_snr"):
        raise DataError(
            f"{where}: rescale_betas_zero_snr ends at pure noise, where what epsilon predicts says nothing of the "
            f"data; with v_prediction or sample it is read; {_PUT_BACK}"
        )
    table = _stepped(TABLES[name], _named(name), keys, where)
    return NetworkTraining(schedule=table, style="table", prediction=prediction, length=length, clip=clip)


def _stepped(scheduler: TableScheduler, name: str, keys: Keys, where: str) -> SteppedTable:
    spacing = keys.get("timestep_spacing", scheduler.spacing)
    if spacing not in ("leading", "trailing", "linspace"):
        raise DataError(f"{where}: timestep_spacing {spacing!r} is not known; there are leading, trailing and linspace")
    own = f"how {name} lays out its steps" if scheduler.points == "own" else _unread(keys)
    offset, to_one = int(keys.get("steps_offset", 0)), keys.get("set_alpha_to_one", scheduler.to_clean)
    if not own and keys.get("clip_sample") and spacing == "leading" and offset == 0 and not to_one:
        own = f"a last step of {name} that stands still and clips (set_alpha_to_one: false with clip_sample)"
    return SteppedTable(
        table=_table(scheduler, keys, where),
        spacing=spacing,
        offset=offset,
        to_clean=bool(to_one) and keys.get("final_sigmas_type") != "sigma_min",
        # Spaced from the end, all of them visit N.
        points="N + 1" if scheduler.points == "N + 1" and spacing != "trailing" else "N",
        rounded=scheduler.rounded,
        strides=scheduler.strides,
        unread=own,
    )


def _named(name: str) -> str:
    return f"the scheduler {name}"


def _table(scheduler: TableScheduler, keys: Keys, where: str) -> BetaTable | ZeroSNRTable:
    """The table of betas as a schedule, rescaled to zero terminal SNR where the configuration says so."""
    try:
        betas = _betas(keys, where)
        table = BetaTable.from_betas(betas)
    except (RecipeError, ValueError, TypeError):
        raise DataError(f"{where}: no beta table, 4 numbers or more, all above 0 and below 1; {_PUT_BACK}") from None
    if not keys.get("rescale_betas_zero_snr"):
        return table
    alphas = rescaled_alphas(betas)
    if (least := scheduler.least_alpha) == 0.0:
        return ZeroSNRTable.from_alphas(alphas)
    if not alphas[-2] > least:
        raise DataError(
            f"{where}: rescale_betas_zero_snr leaves alpha = {alphas[-2]:.2g} before the last entry, where this "
            f"scheduler puts {least:.2g}, so that its noise falls in training; take another scheduler, as DDIM"
        )
    alphas[-1] = least
    return BetaTable.from_betas(1.0 - (alphas / np.concatenate([[1.0], alphas[:-1]])) ** 2)


_USUAL: Mapping[str, BetaShape] = {
    "linear": "linear",
    "scaled_linear": "scaled-linear",
    "squaredcos_cap_v2": "squared-cosine",
}


def _betas(keys: Keys, where: str) -> list[float]:
    trained, steps = keys["trained_betas"], _length(keys, where)
    if trained is not None:
        if not isinstance(trained, list):
            raise TypeError("no list")
        if len(trained) != steps:
            raise DataError(
                f"{where}: trained_betas has {len(trained)} entries and num_train_timesteps is {steps}; which of them "
                "the network's times count is not said: make them equal"
            )
        return [float(beta) for beta in trained]
    shape = keys["beta_schedule"]
    first, last = float(keys["beta_start"]), float(keys["beta_end"])
    if shape in _USUAL:
        return usual_betas(_USUAL[shape], steps, first, last)
    if shape == "sigmoid":
        return [first + (last - first) / (1.0 + math.exp(-u)) for u in np.linspace(-6.0, 6.0, steps).tolist()]
    raise DataError(f"{where}: beta_schedule {shape!r} is not known; give trained_betas instead")
