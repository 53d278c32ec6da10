"""References: end points and trajectories of the exact flow, made once and kept in the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.analysis.cells import keep, kept
from mixvel_core.analysis.settings import StudySettings
from mixvel_core.analysis.theory_settings import is_closed
from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.errors import SamplingError
from mixvel_core.field.conversions import add_noise, point_for
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.opened import Run
from mixvel_core.pipeline.sample import Loaded
from mixvel_core.plugin.discovery import Registry
from mixvel_core.protocols import DensityExpert, GaussianLaw, Progress, Router
from mixvel_core.randomness import key, normal
from mixvel_core.recipe.dump import plain
from mixvel_core.sampling.ode import Tell, ddim_reference, reference
from mixvel_core.sampling.routed_field import WeightTransform
from mixvel_core.sampling.sampler import SampleDraws, Sampler
from mixvel_core.theory.exact import ClosedForms, EmpiricalLaw, Exact
from mixvel_core.theory.measured import Products

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
class Start:
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


def reference_key(setting: StudySettings, weights: WeightTransform, models_key: str) -> str:
    """A digest of everything a reference depends on; the grid, selectors and integrators are not among it."""
    return key_of(models=models_key, weights=plain(weights), **_about(setting), **_start(setting))


def reference_of(
    setting: StudySettings, sampler: Sampler, models_key: str, place: Start, folder: Path, progress: Progress
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
    artifact = Artifact(folder=folder, key=key, name=key)
    found = kept(artifact, "x", "looser")
    if found is None:
        report_damage([artifact.first_damaged()], progress)
        with progress.task(f"reference {setting.reference}", 200, "%") as bar:

            def tell(passed: float) -> None:
                bar.update(int(100 * passed))

            x = _solved(setting, sampler, place, 1.0, tell)
            looser = _solved(setting, sampler, place, LOOSER, lambda passed: tell(1.0 + passed))
        found = (x, looser)
        keep(artifact, {"x": x, "looser": looser}, **_about(setting), **_start(setting))
    return Reference(x=found[0], looser=found[1], about=_about(setting))


def _about(setting: StudySettings) -> dict[str, Any]:
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


def _start(setting: StudySettings) -> dict[str, Any]:
    return {
        "count": setting.count,
        "seed": setting.seed,
        "delta": setting.delta,
        "precision": setting.precision,
    }


def _solved(setting: StudySettings, sampler: Sampler, place: Start, coarse: float, tell: Tell) -> np.ndarray:
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


def _solve(setting: StudySettings, sampler: Sampler, x: Tensor, coarse: float, tell: Tell) -> Tensor:
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


GAUSSIAN = "gaussian-mixture"
"""The expert that turns a shard's law (D3) into its denoiser."""


@frozen(kw_only=True, eq=False)
class Oracle:
    """``exact``: the mixture. ``about``: which one, in words. ``is_smooth``: whether it is no sum of point masses.
    ``products``: by which kind its field is differentiated."""

    exact: Exact
    about: str
    is_smooth: bool
    products: Products


def oracle_of(finished: Run, loaded: Loaded, registry: Registry) -> Oracle:
    """The exact mixture of a run: its experts themselves where they are closed forms, the Gaussian law of its data (D3)
    where there is one, and the empirical law of its items (D2) otherwise.
    """
    schedule, parts = loaded.schedule, finished.shards.parts
    if is_closed(finished):
        own = [stored.load(loaded.device) for stored in finished.models.experts.parts]
        known = tuple(expert for expert in own if isinstance(expert, DensityExpert))
        if len(known) == len(own):
            forms = ClosedForms(schedule=schedule, experts=known, fractions=finished.shards.fractions)
            return Oracle(
                exact=forms, about="the experts themselves, which are closed forms", is_smooth=True, products="backward"
            )
    if all(part.law is not None for part in parts) and GAUSSIAN in registry.names("expert"):
        definition = registry.get("expert", GAUSSIAN)
        gaussian = definition.build(definition.options())
        made = [
            gaussian.load(stored.config, gaussian.tensors(part, None), schedule)
            for stored, part in zip(finished.models.experts.parts, parts, strict=True)
        ]
        forms = ClosedForms(schedule=schedule, experts=tuple(made), fractions=finished.shards.fractions)
        return Oracle(
            exact=forms,
            about="the Gaussian mixture that the data were drawn from (D3)",
            is_smooth=True,
            products="backward",
        )
    engine = PosteriorEngine(shards=tuple(part.items for part in parts))
    return Oracle(
        exact=EmpiricalLaw(schedule=schedule, engine=engine),
        about="the empirical law of the training items (D2), which networks that generalise do not learn",
        is_smooth=False,
        products="forward",
    )


def noised(finished: Run, loaded: Loaded, t: Tensor, seed: int) -> Tensor:
    """Points x_t of the exact law, one for each time (B,): (B, *data) float64.

    Where the law is known they start from new draws of it, which no network has seen; elsewhere the items are the law.
    """
    law = finished.shards.whole.law
    rng = np.random.default_rng(seed)
    x_0 = _sampled_points(law, len(t), rng) if law is not None else _items(finished, len(t), rng)
    start = torch.from_numpy(x_0.reshape(len(t), *loaded.shape)).to(t)
    eps = normal(key(seed, "theory", "noise"), torch.arange(len(t), device=t.device), loaded.shape, t.dtype)
    return add_noise(start, eps, point_for(loaded.schedule, t, start))


def _sampled_points(law: GaussianLaw, count: int, rng: np.random.Generator) -> np.ndarray:
    component = rng.choice(len(law.weights), size=count, p=law.weights / law.weights.sum())
    return np.stack([rng.multivariate_normal(law.means[j], law.covariances[j]) for j in component])


def _items(finished: Run, count: int, rng: np.random.Generator) -> np.ndarray:
    parts = finished.shards.parts
    shard = rng.choice(len(parts), size=count, p=finished.shards.fractions)
    return np.stack([to_float(np.asarray(parts[k].items[rng.integers(parts[k].count)])) for k in shard]).astype(float)
