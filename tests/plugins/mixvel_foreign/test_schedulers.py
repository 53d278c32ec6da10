"""Schedulers of diffusers as they are read here: against the classes of diffusers themselves."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from attrs import evolve

from mixvel_core.errors import DataError, UsageError
from mixvel_foreign.noise_paths import SteppedFlow, SteppedTable
from mixvel_foreign.scheduler import training_of
from mixvel_foreign.scheduler_classes import EDMS, FLOWS, TABLE_KEYS, TABLES
from mixvel_schedules.schedules import Rectified

# diffusers' own, of arrays it makes of tensors.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SPACINGS = ("leading", "trailing", "linspace")
OF_THE_SAMPLER = """
variance_type dynamic_thresholding_ratio sample_max_value original_inference_steps timestep_scaling skip_prk_steps
solver_order solver_type algorithm_type lower_order_final euler_at_final predict_x0 disable_corrector solver_p eta
predictor_order corrector_order tau_func noise_sampler_seed flow_shift use_dynamic_shifting
time_shift_type shift_terminal kwargs
"""
"""What a scheduler does with the network's answers, and how multistep ones shift the times of flow networks."""
OF_FLOW_SAMPLERS = """
base_shift max_shift base_image_seq_len max_image_seq_len stochastic_sampling
"""
EDM_LENGTH = {"num_train_timesteps"}
"""EDM networks are given log(sigma)/4, and count no steps."""


def _signatures() -> dict[str, dict[str, Any]]:
    """The keys of every scheduler with their defaults, from the source: some classes cannot be imported everywhere."""
    spec = find_spec("diffusers")
    assert spec is not None
    assert spec.origin is not None
    found: dict[str, dict[str, Any]] = {}
    for path in (Path(spec.origin).parent / "schedulers").glob("scheduling_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Scheduler"):
                inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
                if inits:
                    args = inits[0].args
                    names = [arg.arg for arg in args.args[1:]][-len(args.defaults) or 99 :]
                    values = [eval(ast.unparse(value), {"float": float}) for value in args.defaults]
                    found[node.name.removesuffix("Scheduler")] = dict(zip(names, values, strict=True))
    return found


SIGNATURES = _signatures()
OURS: Mapping[str, Mapping[str, Any]] = {
    **{name: {**TABLE_KEYS, **one.keys} for name, one in TABLES.items()},
    **FLOWS,
    **EDMS,
}


@pytest.mark.parametrize("name", OURS)
def test_absent_keys_are_what_their_class_says_and_none_is_unheard(name: str) -> None:
    theirs, ours = SIGNATURES[name], OURS[name]
    if name == "RePaint":
        theirs = {**theirs, "prediction_type": "epsilon"}  # it has no key for what its networks predict
    assert {key: theirs.get(key, "no such key") for key in ours} == dict(ours)
    rest = theirs.keys() - ours.keys() - {*OF_THE_SAMPLER.split()}
    assert rest <= ({*OF_FLOW_SAMPLERS.split()} if name in FLOWS else EDM_LENGTH if name in EDMS else set())


def scheduler(name: str, **config: Any) -> Any:
    return getattr(diffusers, f"{name}Scheduler").from_config(config)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"num_train_timesteps": 100, "beta_start": 1e-3, "beta_end": 0.2},
        {"num_train_timesteps": 10, "beta_start": 1e-4, "beta_end": 0.5},
        {"num_train_timesteps": 50, "beta_schedule": "scaled_linear", "beta_start": 1e-4, "beta_end": 0.5},
        {"num_train_timesteps": 4, "trained_betas": [0.1, 0.2, 0.9, 0.3]},
    ],
    ids=["as-they-come", "cosine", "hundred", "ten", "fifty", "four-uneven"],
)
def test_the_table_is_theirs_at_all_its_entries(config: dict[str, Any]) -> None:
    # RePaint's own does not take betas from JSON.
    for name in TABLES.keys() - {"DPMSolverSDE"} - ({"RePaint"} if "trained_betas" in config else set()):
        theirs = scheduler(name, **config)
        training = training_of({"_class_name": f"{name}Scheduler", **config}, name)
        T = theirs.config.num_train_timesteps
        t = torch.arange(1, T + 1, dtype=torch.float64) / T
        torch.testing.assert_close(
            training.schedule.at(t).alpha ** 2, theirs.alphas_cumprod.double(), rtol=1e-3, atol=1e-9, msg=name
        )
        assert (training.length, training.clip) == (T, bool(theirs.config.get("clip_sample", False)))
        between = training.schedule.at(torch.linspace(0, 1, 7 * T + 1, dtype=torch.float64))
        assert bool((between.alpha.diff() < 0).all())


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [7, 10])
def test_native_steps_are_theirs_or_refused(spacing: str, steps: int) -> None:
    refused = set()
    for name in TABLES.keys() - {"DPMSolverSDE"}:
        if name == "DDIMInverse" and spacing == "linspace":
            refused.add(name)  # their own cannot be made
            continue
        theirs = scheduler(name, timestep_spacing=spacing)
        theirs.set_timesteps(steps)
        schedule = training_of({"_class_name": f"{name}Scheduler", "timestep_spacing": spacing}, name).schedule
        assert isinstance(schedule, SteppedTable)
        if schedule.unread:
            refused.add(name)
            continue
        if schedule.strides and (spacing == "linspace" or (spacing == "trailing" and 1000 % steps)):
            with pytest.raises(UsageError, match="so that it ends its steps elsewhere"):
                schedule.times(steps)
            refused.add(name)
            continue
        ours = np.array(schedule.times(steps)) * 1000 - 1
        visited = np.array([float(entry) for entry in theirs.timesteps])
        assert len(ours) in (steps + 1, steps), name
        # Stages of a step, half-way, and times that are visited twice are theirs too.
        assert all(np.abs(visited - entry).min() < 1e-3 for entry in ours[:-1]), name
        assert ours[-1] == (-1 if schedule.to_clean else 0)
        if hasattr(theirs, "sigmas"):
            assert (float(theirs.sigmas[-1]) == 0) == schedule.to_clean, name
    strides = {"DDIM", "DDIMParallel", "PNDM"}
    uneven = spacing == "linspace" or (spacing == "trailing" and 1000 % steps)
    assert refused == {"LCM", "TCD", "RePaint", "DDIMInverse"} | (strides if uneven else set())


@pytest.mark.parametrize(
    ("name", "about", "words"),
    [
        ("DDPM", {"clip_sample_range": 2.0}, "clip_sample_range 2.0 is not read; set `clip: true`"),
        ("DDPM", {"thresholding": True}, "thresholding"),
        ("EDMDPMSolverMultistep", {"thresholding": True}, "thresholding"),
        ("DPMSolverMultistep", {"thresholding": True}, "`clip: false` of the expert in its place"),
        ("DDPM", {"trained_betas": [0.1] * 500}, "500 entries and num_train_timesteps is 1000"),
        ("DDPM", {"trained_betas": "ddpm"}, "no beta table"),
        ("DDPM", {"beta_schedule": "scaled_linear", "beta_start": -1.0}, "no beta table"),
        ("EulerDiscrete", {"timestep_type": "continuous"}, "timestep_type 'continuous'"),
        ("DDIM", {"prediction_type": "flow_prediction"}, "does not go with this schedule, but epsilon"),
        ("DDIM", {"predict_epsilon": False}, "write `prediction_type: sample` for it"),
        ("UniPCMultistep", {"use_flow_sigmas": True, "prediction_type": "v_prediction"}, "does not go with"),
        ("EDMEuler", {"prediction_type": "sample"}, "does not go with"),
        ("EDMEuler", {"sigma_max": math.inf}, "out of range"),
        ("FlowMatchEulerDiscrete", {"invert_sigmas": True}, "turns the network's time round"),
        ("IPNDM", {}, "is not known"),
        ("DDIM", {"clip_sample": "yes"}, "of the wrong type"),
        ("DDIM", {"num_train_timesteps": 10**12}, "not in 1 to 100000"),
    ],
)
def test_what_would_change_the_result_unread_is_refused_by_name(name: str, about: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError) as caught:
        training_of({"_class_name": f"{name}Scheduler", **about}, "folder")
    assert str(caught.value).startswith("folder: ")
    assert words in str(caught.value)


def test_a_bound_that_is_not_read_gives_way_to_one_that_is_said() -> None:
    for clip in (True, False):
        config = {"_class_name": "DDPMScheduler", "thresholding": True, "clip_sample_range": 2.0}
        assert training_of(config, "folder", clip).clip is clip


def test_steps_of_other_noise_levels_are_refused_and_the_network_is_read() -> None:
    config = {"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True}
    schedule = training_of(config, "folder").schedule
    assert isinstance(schedule, SteppedTable)
    with pytest.raises(UsageError, match="grid native: use_karras_sigmas is not read; name another grid"):
        schedule.times(10)
    plain = training_of({"_class_name": "EulerDiscreteScheduler"}, "folder").schedule
    assert evolve(schedule, unread="") == plain
    ends = training_of({"_class_name": "EDMEulerScheduler", "final_sigmas_type": "sigma_min"}, "folder").schedule
    assert len(ends.times(5)) == 5  # type: ignore[attr-defined]  # EDM's has times
    odd = training_of({"_class_name": "EDMEulerScheduler", "sigma_schedule": "exponential"}, "folder").schedule
    with pytest.raises(UsageError, match="sigma_schedule 'exponential'"):
        odd.times(5)  # type: ignore[attr-defined]  # EDM's has times


def test_multistep_schedulers_of_flow_networks_are_flows() -> None:
    config = {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    training = training_of(config, "folder")
    flow = training_of({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "folder")
    assert isinstance(flow.schedule, SteppedFlow)
    assert isinstance(training.schedule, SteppedFlow)
    assert evolve(training, schedule=evolve(training.schedule, unread="")) == flow
    assert flow.schedule.flow == Rectified()
    t = torch.linspace(0, 1, 5, dtype=torch.float64)
    torch.testing.assert_close(flow.schedule.time_of(torch.atan2(t, 1 - t)), t)
    assert bool((flow.schedule.suprema(t[:-1], t[1:]).d_alpha == 1).all())
    assert (training.style, training.prediction, training.length) == ("flow", "flow", 1000)
