"""Sampling by every scheduler of diffusers that takes first-order steps of the ODE, beside ours on its native grid.

The network is a formula: the exact predictions for normal data, under whatever table the scheduler has.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, Literal

import diffusers
import numpy as np
import pytest
import torch
from attrs import frozen
from diffusers import DDIMScheduler
from torch import Tensor

from mixvel_core.errors import DataError, UsageError
from mixvel_core.field.conversions import Prediction, target
from mixvel_core.protocols import SchedulePoint
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.routed_field import SingleExpertRouter
from mixvel_core.sampling.sampler import Sampler
from mixvel_foreign.noise_paths import SteppedFlow, SteppedTable
from mixvel_foreign.scheduler import NetworkTraining, training_of
from mixvel_foreign.user_networks import TimeConvention, TimedNetwork
from mixvel_integrators.integrators import DDIM
from mixvel_networks.denoiser import NetworkDenoiser
from mixvel_selectors.selectors import Mixture

# diffusers' own, of arrays it makes of tensors.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
MEAN, SPREAD = 0.3, 0.5
PREDICTIONS = ("epsilon", "v_prediction", "sample")
BETAS: dict[str, dict[str, Any]] = {
    "linear": {},
    "scaled_linear": {"beta_start": 0.00085, "beta_end": 0.012},
    "squaredcos_cap_v2": {},
    "trained": {"trained_betas": np.linspace(1e-3, 0.05, 300).tolist(), "num_train_timesteps": 300},
}
SPACINGS = ("leading", "trailing", "linspace")
NOISE = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@frozen(kw_only=True)
class NormalNetwork:
    """What an exact network would predict for N(``MEAN``, ``SPREAD``^2), at its own time."""

    prediction: Prediction
    alpha_sigma: Callable[[Tensor], tuple[Tensor, Tensor]]

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        alpha, sigma = (part.to(x).reshape(-1, 1) for part in self.alpha_sigma(time))
        m = MEAN + alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2) * (x - alpha * MEAN)
        zero = torch.zeros_like(alpha)
        p = SchedulePoint(alpha=alpha, sigma=sigma, d_alpha=zero, d_sigma=zero, dd_alpha=zero)
        return target(self.prediction, m, (x - alpha * m) / sigma, p)


def of_table(theirs: Any) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """alpha and sigma at an entry of a scheduler's table, between entries as it has them: even in sigma/alpha."""
    cumulative = theirs.alphas_cumprod.double().numpy()

    def levels(entry: Tensor) -> tuple[Tensor, Tensor]:
        j = entry.double().numpy()
        if float(np.abs(j - j.round()).max()) < 1e-3:
            alpha = np.sqrt(cumulative[j.round().astype(int)])
        else:
            ratios = np.sqrt((1.0 - cumulative) / cumulative)
            alpha = 1.0 / np.hypot(1.0, np.interp(j, np.arange(len(ratios)), ratios))
        return torch.from_numpy(np.asarray(alpha)), torch.from_numpy(np.asarray(np.sqrt(1.0 - alpha**2)))

    return levels


def their_loop(theirs: Any, network: NormalNetwork, steps: int, **options: Any) -> tuple[Tensor, Tensor]:
    """The first point that the network sees, and the end of the loop with alpha^2 + sigma^2 = 1."""
    theirs.set_timesteps(steps)
    is_flow = not hasattr(theirs, "alphas_cumprod")
    # Rounded to float32 they are the table; what is computed of them need not be.
    if hasattr(theirs, "sigmas"):
        theirs.sigmas = theirs.sigmas.double()
    x, first = NOISE if is_flow else NOISE * theirs.init_noise_sigma, None
    for time in theirs.timesteps:
        seen = x if is_flow else theirs.scale_model_input(x, time)
        first = seen if first is None else first
        x = theirs.step(network(seen, torch.as_tensor([float(time)])), time, x, **options).prev_sample
    assert first is not None
    # Some have points x/alpha.
    scaled = not is_flow and hasattr(theirs, "sigmas") and not isinstance(theirs.init_noise_sigma, float)
    ratio = float(theirs.sigmas[-1]) if scaled else 0.0
    return first, x / (1.0 + ratio**2) ** 0.5


def our_loop(training: NetworkTraining, network: NormalNetwork, first: Tensor, steps: int) -> Tensor:
    time: Literal["entries", "scaled"] = "entries" if training.style == "table" else "scaled"
    convention = TimeConvention(time=time, length=training.length, rounded=False)
    expert = NetworkDenoiser(
        schedule=training.schedule,
        moments=None,
        network=TimedNetwork(network, convention=convention),  # type: ignore[arg-type]  # a formula, not a module
        prediction=training.prediction,
        clip=training.clip,
    )
    sampler = Sampler(
        schedule=training.schedule,
        experts=[expert],
        router=SingleExpertRouter(),
        selector=Mixture(),
        integrator=DDIM(),
        steps=steps,
        grid="native",
        delta=0.0,
    )
    return sampler.trajectory(first, SampleDraws(seed=0, index=torch.arange(len(first))))[0]


UNCLIPPED = {"clip_sample": False}
FIRST_ORDER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "DDIM": (UNCLIPPED, {}),
    "DDIMParallel": (UNCLIPPED, {}),
    "EulerDiscrete": ({}, {}),
    "LMSDiscrete": ({}, {"order": 1}),
    "DPMSolverMultistep": ({"solver_order": 1}, {}),
    "DPMSolverSinglestep": ({"solver_order": 1}, {}),
    "UniPCMultistep": ({"solver_order": 1, "disable_corrector": list(range(100))}, {}),
    "DEISMultistep": ({"solver_order": 1}, {}),
}
"""Schedulers with settings and arguments of a step under which it is one of first order."""
STRIDING = ("DDIM", "DDIMParallel")


def both(name: str, config: dict[str, Any], steps: int) -> tuple[Tensor, Tensor]:
    """The ends of our loop and of theirs. Raises what ours does."""
    settings, options = FIRST_ORDER.get(name, ({}, {}))
    about = {**settings, **config, "_class_name": f"{name}Scheduler"}
    training = training_of(about, "here")
    theirs = getattr(diffusers, f"{name}Scheduler").from_config(about)
    flow = isinstance(training.schedule, SteppedFlow)
    levels = (lambda time: (1.0 - time / 1000, time / 1000)) if flow else of_table(theirs)
    network = NormalNetwork(prediction=training.prediction, alpha_sigma=levels)
    training.schedule.times(steps)  # type: ignore[attr-defined]  # those of diffusers have times
    first, wanted = their_loop(theirs, network, steps, **options)
    return our_loop(training, network, first, steps), wanted


@pytest.mark.parametrize("name", FIRST_ORDER)
def test_every_prediction_table_and_spacing_gives_the_ends_of_their_loop_or_is_refused(name: str) -> None:
    for kind, shape, spacing in product(PREDICTIONS, BETAS, SPACINGS):
        config = {**BETAS[shape], "prediction_type": kind, "timestep_spacing": spacing}
        config |= {} if shape == "trained" else {"beta_schedule": shape}
        if name in STRIDING and spacing == "linspace":
            with pytest.raises(UsageError, match="spaced by linspace they are not that far apart"):
                both(name, config, 10)
            continue
        got, wanted = both(name, config, 10)
        # EulerDiscrete computes in float32 with points x/alpha, of 2e4 at the end of this table.
        atol = 3e-4 if name == "EulerDiscrete" and shape == "squaredcos_cap_v2" else 1e-4
        torch.testing.assert_close(got, wanted.double(), rtol=0, atol=atol, msg=f"{name} {config}")


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("DDIM", {"steps_offset": 1}),
        ("DDIM", {"steps_offset": 1, "set_alpha_to_one": False}),
        ("DDIM", {"set_alpha_to_one": False}),
        ("EulerDiscrete", {"timestep_spacing": "leading", "steps_offset": 1}),
        ("EulerDiscrete", {"timestep_spacing": "trailing", "final_sigmas_type": "sigma_min"}),
        ("DPMSolverMultistep", {"timestep_spacing": "leading", "steps_offset": 1}),
        ("DPMSolverMultistep", {"final_sigmas_type": "sigma_min"}),
        ("UniPCMultistep", {"final_sigmas_type": "sigma_min"}),
    ],
)
def test_offsets_and_ends_are_theirs(name: str, config: dict[str, Any]) -> None:
    for steps in (10, 7):
        got, wanted = both(name, {"prediction_type": "v_prediction", **config}, steps)
        torch.testing.assert_close(got, wanted.double(), rtol=0, atol=1e-4)


LATENT = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("DDIM", {}),
        ("DDIM", LATENT),
        ("DDIM", {"beta_schedule": "squaredcos_cap_v2"}),
        ("EulerDiscrete", LATENT),
        ("DPMSolverMultistep", LATENT),
        ("UniPCMultistep", LATENT),
    ],
)
def test_zero_terminal_snr_is_theirs(name: str, table: dict[str, Any], kind: str) -> None:
    for spacing in ("trailing", "leading"):
        config = {"rescale_betas_zero_snr": True, "timestep_spacing": spacing, "prediction_type": kind}
        got, wanted = both(name, config | table, 10)
        torch.testing.assert_close(got, wanted.double(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shift", [1.0, 3.0, 0.5])
def test_shifted_flows_are_theirs(shift: float) -> None:
    for steps in (1, 4, 28):
        got, wanted = both("FlowMatchEulerDiscrete", {"shift": shift}, steps)
        torch.testing.assert_close(got, wanted.double(), rtol=0, atol=1e-4)
    heun = diffusers.FlowMatchHeunDiscreteScheduler(shift=shift)
    heun.set_timesteps(9)
    ours: Any = training_of({"_class_name": "FlowMatchHeunDiscreteScheduler", "shift": shift}, "here").schedule
    torch.testing.assert_close(torch.tensor(ours.times(9)), heun.sigmas.unique().flip(0), rtol=0, atol=1e-6)


def test_steps_that_diffusers_itself_misplaces_are_refused() -> None:
    with pytest.raises(UsageError, match="take a number of steps that divides 1000, or another grid"):
        both("DDIM", {"timestep_spacing": "trailing"}, 7)
    with pytest.raises(UsageError, match="61 steps spaced by trailing over 1000 entries become 62 by rounding"):
        both("EulerDiscrete", {"timestep_spacing": "trailing"}, 61)
    with pytest.raises(UsageError, match="lead 52 entries on each"):
        both("DDIM", {"steps_offset": 60}, 19)
    with pytest.raises(UsageError, match=r"a last step of the scheduler DDIM that stands still and clips"):
        both("DDIM", {"clip_sample": True, "set_alpha_to_one": False}, 10)
    with pytest.raises(DataError, match=r"rescale_betas_zero_snr leaves alpha = 6.5e-05 before the last entry"):
        both("EulerDiscrete", {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}, 10)
    with pytest.raises(UsageError, match="grid native: use_dynamic_shifting, shift_terminal is not read"):
        both("FlowMatchEulerDiscrete", {"use_dynamic_shifting": True, "shift_terminal": 0.02}, 10)
    with pytest.raises(UsageError, match="grid native: interpolation_type is not read"):
        both("EulerDiscrete", {"interpolation_type": "log_linear"}, 10)
    with pytest.raises(UsageError, match="how the scheduler UniPCMultistep lays out its steps for flows is not read"):
        both("UniPCMultistep", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}, 10)
    with pytest.raises(DataError, match="shift -1 is not above 0"):
        both("FlowMatchEulerDiscrete", {"shift": -1}, 10)


def test_a_table_that_ends_in_noise_is_smooth_and_theirs_at_its_entries() -> None:
    config = {"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    schedule = training_of(config, "here").schedule
    assert isinstance(schedule, SteppedTable)
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    wanted = DDIMScheduler(rescale_betas_zero_snr=True).alphas_cumprod.double()
    torch.testing.assert_close(schedule.at(t).alpha ** 2, wanted, rtol=1e-4, atol=1e-6)
    assert float(schedule.at(t[-1]).alpha) == 0.0
    between = torch.linspace(1e-5, 1.0, 7001, dtype=torch.float64)
    p, (before, after) = schedule.at(between), (schedule.at(between - 1e-6), schedule.at((between + 1e-6).clamp_max(1)))
    assert bool((p.alpha.diff() < 0).all())
    torch.testing.assert_close(p.alpha**2 + p.sigma**2, torch.ones_like(t[:1]).expand(len(between)))
    inner = slice(10, -1)
    for value, slope in (("alpha", "d_alpha"), ("sigma", "d_sigma"), ("d_alpha", "dd_alpha")):
        measured = (getattr(after, value) - getattr(before, value)) / 2e-6
        torch.testing.assert_close(getattr(p, slope)[inner], measured[inner], rtol=2e-3, atol=2e-3)
