"""The schedulers of diffusers: which say how a network was trained, with the default of every key that matters.

Each class has defaults of its own, and a configuration leaves out what equals them. A key that a class does not have is
ignored by diffusers, and so it is here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from attrs import frozen

Keys: TypeAlias = Mapping[str, Any]


@frozen(kw_only=True)
class TableScheduler:
    """A scheduler of networks that were trained on a table of betas.

    ``keys``: what it has besides ``TABLE_KEYS``, or by another default. ``points``: how many N steps are laid out over
    the table; "own": in a way that is not read. ``spacing``: where it has no key for it. ``strides``: whether each step
    leads T // N entries on, wherever the next one lies. ``rounded``: whether steps of the spacing linspace lie at
    entries. ``to_clean``: whether the last step ends at clean data where no key says it. ``least_alpha``: alpha at the
    end of a table that is rescaled to zero terminal SNR.
    """

    keys: Keys
    points: Literal["N", "N + 1", "own"] = "N"
    spacing: Literal["leading", "linspace"] = "leading"
    strides: bool = False
    rounded: bool = True
    to_clean: bool = True
    least_alpha: float = 0.0


TABLE_KEYS: Keys = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
}
_SPACED: Keys = {"timestep_spacing": "linspace", "steps_offset": 0}
_LEADING: Keys = {"timestep_spacing": "leading", "steps_offset": 0}
_LATENT: Keys = {"beta_start": 0.00085, "beta_end": 0.012}
_CLIPPED: Keys = {"clip_sample": True, "clip_sample_range": 1.0}
_BOUNDED: Keys = {"thresholding": False}
_RESCALED: Keys = {"rescale_betas_zero_snr": False}
_SIGMAS: Keys = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
_RANGE: Keys = {"sigma_min": None, "sigma_max": None}
_FLOW: Keys = {"use_flow_sigmas": False}
_ZERO: Keys = {"final_sigmas_type": "zero"}
_CLEAN: Keys = {"set_alpha_to_one": True}
_LAMBDA: Keys = {"lambda_min_clipped": -math.inf}

_DDPM = TableScheduler(keys={**_LEADING, **_CLIPPED, **_BOUNDED, **_RESCALED})
_DDIM = TableScheduler(keys={**_LEADING, **_CLIPPED, **_BOUNDED, **_RESCALED, **_CLEAN}, strides=True)
_CONSISTENCY = TableScheduler(
    keys={**_DDIM.keys, **_LATENT, "beta_schedule": "scaled_linear", "clip_sample": False}, points="own"
)
_MULTISTEP: Keys = {**_SPACED, **_BOUNDED, **_SIGMAS, **_FLOW}
_HALVING = TableScheduler(keys={**_SPACED, **_LATENT, **_SIGMAS}, rounded=False)
_JUST_ABOVE = 2.0**-12
"""The square root of float16's least number, which these take for zero."""

TABLES: Mapping[str, TableScheduler] = {
    "DDPM": _DDPM,
    "DDPMParallel": _DDPM,
    "DDIM": _DDIM,
    "DDIMParallel": _DDIM,
    "DDIMInverse": TableScheduler(keys={**_LEADING, **_CLIPPED, **_RESCALED, **_CLEAN}, points="own"),
    "PNDM": TableScheduler(keys={**_LEADING, "set_alpha_to_one": False}, strides=True),
    "LCM": _CONSISTENCY,
    "TCD": _CONSISTENCY,
    "RePaint": TableScheduler(keys={"clip_sample": True}, points="own"),
    "EulerDiscrete": TableScheduler(
        keys={
            **_SPACED,
            **_SIGMAS,
            **_RANGE,
            **_RESCALED,
            **_ZERO,
            "timestep_type": "discrete",
            "interpolation_type": "linear",
        },
        rounded=False,
        least_alpha=_JUST_ABOVE,
    ),
    "EulerAncestralDiscrete": TableScheduler(keys={**_SPACED, **_RESCALED}, rounded=False, least_alpha=_JUST_ABOVE),
    "HeunDiscrete": TableScheduler(
        keys={**_SPACED, **_LATENT, **_SIGMAS, **_CLIPPED, "clip_sample": False}, rounded=False
    ),
    "KDPM2Discrete": _HALVING,
    "KDPM2AncestralDiscrete": _HALVING,
    "DPMSolverSDE": _HALVING,
    "LMSDiscrete": TableScheduler(keys={**_SPACED, **_SIGMAS}, rounded=False),
    "DEISMultistep": TableScheduler(keys=_MULTISTEP, points="N + 1", to_clean=False),
    "UniPCMultistep": TableScheduler(
        keys={**_MULTISTEP, **_RANGE, **_RESCALED, **_ZERO}, points="N + 1", least_alpha=_JUST_ABOVE
    ),
    "SASolver": TableScheduler(keys={**_MULTISTEP, **_LAMBDA}, points="N + 1", to_clean=False),
    "DPMSolverMultistep": TableScheduler(
        keys={**_MULTISTEP, **_RESCALED, **_ZERO, **_LAMBDA, "use_lu_lambdas": False},
        points="N + 1",
        least_alpha=_JUST_ABOVE,
    ),
    "DPMSolverSinglestep": TableScheduler(
        keys={**_BOUNDED, **_SIGMAS, **_FLOW, **_ZERO, **_LAMBDA}, points="N + 1", spacing="linspace"
    ),
}
"""They differ in their samplers, not in what the network was trained on."""

FLOWS: Mapping[str, Keys] = {
    "FlowMatchEulerDiscrete": {
        "num_train_timesteps": 1000,
        "shift": 1.0,
        "invert_sigmas": False,
        "use_dynamic_shifting": False,
        "shift_terminal": None,
        **_SIGMAS,
    },
    "FlowMatchHeunDiscrete": {"num_train_timesteps": 1000, "shift": 1.0},
}

_EDM: Keys = {
    "sigma_min": 0.002,
    "sigma_max": 80.0,
    "sigma_data": 0.5,
    "sigma_schedule": "karras",
    "rho": 7.0,
    "prediction_type": "epsilon",
    **_ZERO,
}
EDMS: Mapping[str, Keys] = {"EDMEuler": _EDM, "EDMDPMSolverMultistep": {**_EDM, **_BOUNDED}}

OWN_STEPS: Keys = {
    **_SIGMAS,
    **_RANGE,
    **_LAMBDA,
    "use_lu_lambdas": False,
    "interpolation_type": "linear",
    "use_dynamic_shifting": False,
    "shift_terminal": None,
}
"""Keys that change the steps of a scheduler in a way that is not read, by the value at which they do not."""
