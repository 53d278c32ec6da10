"""The reference of a study: made once, kept in ``references/`` of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.errors import SamplingError
from mixvel_core.protocols import Progress, Router
from mixvel_core.recipe.dump import plain
from mixvel_core.reference import Tell, ddim_reference, reference
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.sampler import Sampler
from mixvel_core.sampling.weights import WeightTransform
from mixvel_core.stages.unit import Unit, key_of, tell_damage
from mixvel_core.study.arrays import keep, kept
from mixvel_core.study.setting import Setting

LOOSER = 10.0
"""The error of dopri5 is estimated by solving again at tolerances this many times larger: an overestimate."""
DDIM_STEPS = 1000


@frozen(kw_only=True, eq=False)
class Reference:
    """``x``: where the samples end, (count, *data). ``looser``: where a coarser reference ends, to estimate its error.

    ``about``: how it was made.
    """

    x: np.ndarray
    looser: np.ndarray
    about: dict[str, Any]


@frozen(kw_only=True)
class Place:
    """Where points live: ``shape`` of one, ``*data``, and ``device`` of the models."""

    shape: tuple[int, ...]
    device: torch.device


@frozen(kw_only=True)
class Transformed:
    """A router whose weights are transformed as the sampler transforms them: the mixture that is sampled from."""

    router: Router
    transform: WeightTransform

    def start(self, x: Tensor, t: Tensor) -> Any:
        """The router's own state."""
        return self.router.start(x, t)

    def weights(self, x: Tensor, t: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The transformed weights, (B, K)."""
        a, state = self.router.weights(x, t, state)
        return self.transform(a.to(x.dtype)), state


def reference_key(setting: Setting, weights: WeightTransform, models_key: str) -> str:
    """A digest of everything a reference depends on; the grid, selectors and integrators are not among it."""
    return key_of(models=models_key, weights=plain(weights), **_about(setting), **_start(setting))


def reference_of(
    setting: Setting, sampler: Sampler, models_key: str, place: Place, folder: Path, progress: Progress
) -> Reference:
    """The reference, from ``folder`` or made now.

    Args:
        setting: kind, tolerance, count, seed.
        sampler: any of the study; its experts, router, weights and schedule are used.
        models_key: a digest of those.
        place: shape and device of the points.
        folder: ``references/`` of the run.
        progress: a bar in percent.
    """
    key = reference_key(setting, sampler.weights, models_key)
    unit = Unit(folder=folder, key=key, name=key)
    found = kept(unit, "x", "looser")
    if found is None:
        tell_damage([unit.damage()], progress)
        with progress.task(f"reference {setting.reference}", 200, "%") as bar:

            def tell(passed: float) -> None:
                bar.update(int(100 * passed))

            x = _solved(setting, sampler, place, 1.0, tell)
            looser = _solved(setting, sampler, place, LOOSER, lambda passed: tell(1.0 + passed))
        found = (x, looser)
        keep(unit, {"x": x, "looser": looser}, **_about(setting), **_start(setting))
    return Reference(x=found[0], looser=found[1], about=_about(setting))


def _about(setting: Setting) -> dict[str, Any]:
    if setting.reference == "dopri5":
        tolerance = setting.tolerance
        return {
            "kind": "dopri5",
            "rtol": tolerance,
            "atol": tolerance,
            "looser": LOOSER * tolerance,
            "block": setting.block,
        }
    return {"kind": "ddim-1000", "steps": DDIM_STEPS, "looser": DDIM_STEPS // 2}


def _start(setting: Setting) -> dict[str, Any]:
    return {
        "count": setting.count,
        "seed": setting.seed,
        "delta": setting.delta,
        "precision": setting.precision,
    }


def _solved(setting: Setting, sampler: Sampler, place: Place, coarse: float, tell: Tell) -> np.ndarray:
    """The ends of all samples; ``coarse`` 1 is the reference itself."""
    firsts = range(0, setting.count, setting.block)
    blocks = []
    for done, first in enumerate(firsts):
        # DDIM moves each point by itself: there is nothing to fill a block up for.
        last = first + setting.block if setting.reference == "dopri5" else min(first + setting.block, setting.count)
        index = torch.arange(first, last, device=place.device)
        x = SampleDraws(seed=setting.seed, index=index).noise(place.shape, setting.dtype)

        def passed(part: float, done: int = done) -> None:
            tell((done + part) / len(firsts))

        blocks.append(_solve(setting, sampler, x, coarse, passed))
    ends = torch.cat(blocks)[: setting.count]
    if not bool(ends.isfinite().all()):
        raise SamplingError(f"the reference {setting.reference} is not finite; look at the experts and the router")
    return ends.cpu().numpy()


def _solve(setting: Setting, sampler: Sampler, x: Tensor, coarse: float, tell: Tell) -> Tensor:
    router = Transformed(router=sampler.router, transform=sampler.weights)
    if setting.reference == "dopri5":
        tolerance = coarse * setting.tolerance
        return reference(
            x,
            schedule=sampler.schedule,
            experts=sampler.experts,
            router=router,
            delta=setting.delta,
            rtol=tolerance,
            atol=tolerance,
            tell=tell,
        )
    return ddim_reference(
        x,
        schedule=sampler.schedule,
        experts=sampler.experts,
        router=router,
        delta=setting.delta,
        steps=DDIM_STEPS if coarse == 1.0 else DDIM_STEPS // 2,
        tell=tell,
    )
