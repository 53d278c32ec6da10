"""References: what samplers are measured against. Ends of the models' own flow, made once and kept in the run folder;
and the exact mixture of the data, with points of its law."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.analysis.cells import condition_of_samples, read_kept, sampler_of, write_kept
from mixvel_core.analysis.settings import StudySettings, has_closed_experts
from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.errors import SamplingError
from mixvel_core.field.conversions import add_noise, point_for
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.loaded import Loaded
from mixvel_core.pipeline.opened import Run
from mixvel_core.plugin.discovery import Registry
from mixvel_core.protocols import (
    Ask,
    Condition,
    ConditionalRouter,
    DensityExpert,
    Evaluations,
    ObservingRouter,
    Progress,
    Router,
)
from mixvel_core.randomness import key, normal
from mixvel_core.recipe.dump import keyed
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.guided_flow import ddim_flow, guided_mixture
from mixvel_core.sampling.ode import Denoise, ddim_reference, flow, reference
from mixvel_core.sampling.sampler import Sampler
from mixvel_core.sampling.weights import WeightTransform
from mixvel_core.theory.exact import ClosedForms, EmpiricalLaw, Exact
from mixvel_core.theory.measured import Products

OnProgress: TypeAlias = Callable[[float], None]
"""Called with the part of the work that is done, 0 to 1."""

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
class TransformedRouter:
    """A router whose weights are transformed as the sampler transforms them: the mixture that is sampled from."""

    router: Router
    transform: WeightTransform

    def start(self, x: Tensor, t: Tensor) -> Any:
        """The state of the router that is transformed."""
        return self.router.start(x, t)

    def weights(self, x: Tensor, t: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The transformed weights, (B, K), and the next state."""
        a, state = self.router.weights(x, t, state)
        return self.transform(a.to(x.dtype), t), state


@frozen(kw_only=True)
class TransformedObserver(TransformedRouter):
    """The same of a router that goes by the experts' answers."""

    router: ObservingRouter

    def observe(self, x: Tensor, t: Tensor, answers: Evaluations, ask: Ask, state: Any) -> Any:
        """The state of the router that is transformed, once it has the answers."""
        return self.router.observe(x, t, answers, ask, state)


def transformed(router: Router, transform: WeightTransform) -> TransformedRouter:
    """``router`` with its weights transformed; it observes if that does."""
    if isinstance(router, ObservingRouter):
        return TransformedObserver(router=router, transform=transform)
    return TransformedRouter(router=router, transform=transform)


def reference_of(
    settings: StudySettings, loaded: Loaded, models_key: str, folder: Path, progress: Progress
) -> Reference:
    """The reference, from ``folder``, ``references/`` of the run, or made now."""
    about = _about(settings)
    start = {"count": settings.count, "seed": settings.seed, "delta": settings.delta, "precision": settings.precision}
    # Neither grids nor selectors nor integrators: all curves are measured against one reference.
    key = key_of(models=models_key, weights=keyed(loaded.options.weights), **about, **start, **settings.given())
    artifact = Artifact(folder=folder, key=key, name=key)
    found = read_kept(artifact, "x", "looser")
    if found is None:
        report_damage([artifact.first_damaged()], progress)
        sampler = sampler_of(settings.curves[0], 1, settings, loaded)
        with progress.task(f"reference {settings.reference}", 200, "%") as bar:

            def on_progress(part: float) -> None:
                bar.update(int(200 * part))

            found = tuple(
                _solved(settings, sampler, loaded, factor, partial(_within, on_progress, n, 2))
                for n, factor in enumerate((1.0, LOOSER))
            )
        write_kept(artifact, dict(zip(("x", "looser"), found, strict=True)), **about, **start)
    return Reference(x=found[0], looser=found[1], about=about)


def _about(settings: StudySettings) -> dict[str, Any]:
    if settings.reference == "dopri5":
        error = settings.tolerance
        return {"kind": "dopri5", "rtol": error, "atol": error, "looser": LOOSER * error, "block": settings.block}
    return {"kind": "ddim-1000", "steps": DDIM_STEPS, "looser": DDIM_STEPS // 2}


def _solved(
    settings: StudySettings, sampler: Sampler, loaded: Loaded, factor: float, on_progress: OnProgress
) -> np.ndarray:
    """The ends of all samples; ``factor`` 1 is the reference itself, another one a coarser reference."""
    firsts = range(0, settings.count, settings.block)
    given = condition_of_samples(settings, loaded, firsts[-1] + settings.block)
    blocks = []
    for done, first in enumerate(firsts):
        # DDIM moves each point by itself: there is nothing to fill a block up for.
        last = first + settings.block if settings.reference == "dopri5" else min(first + settings.block, settings.count)
        index = torch.arange(first, last, device=loaded.device)
        x = SampleDraws(seed=settings.seed, index=index).noise(loaded.shape, settings.dtype)
        passed = partial(_within, on_progress, done, len(firsts))
        rows = None if given is None or not sampler.reads else given.rows(slice(first, last)).to(loaded.device)
        blocks.append(_solve(settings, sampler, x, factor, passed, rows))
    ends = torch.cat(blocks)[: settings.count]
    if not bool(ends.isfinite().all()):
        raise SamplingError(f"the reference {settings.reference} is not finite; look at the experts and the router")
    return ends.cpu().numpy()


def _within(on_progress: OnProgress, done: int, count: int, part: float) -> None:
    """Reports ``part`` of one of ``count`` equal pieces of work, ``done`` of which are behind."""
    on_progress((done + part) / count)


def _solve(
    settings: StudySettings,
    sampler: Sampler,
    x: Tensor,
    factor: float,
    on_progress: OnProgress,
    condition: Condition | None,
) -> Tensor:
    router = transformed(sampler.router, sampler.weights)
    tolerance, steps = factor * settings.tolerance, DDIM_STEPS if factor == 1.0 else DDIM_STEPS // 2
    if condition is not None:
        denoise = _conditional(sampler, router, condition, x)
        if settings.reference == "ddim-1000":
            return ddim_flow(
                denoise, x, schedule=sampler.schedule, delta=settings.delta, steps=steps, on_progress=on_progress
            )
        return flow(
            denoise,
            x,
            schedule=sampler.schedule,
            times=(1.0, settings.delta),
            rtol=tolerance,
            atol=tolerance,
            on_progress=on_progress,
        )[-1]
    adaptive, fixed = partial(reference, rtol=tolerance, atol=tolerance), partial(ddim_reference, steps=steps)
    return (adaptive if settings.reference == "dopri5" else fixed)(
        x,
        schedule=sampler.schedule,
        experts=sampler.experts,
        router=router,
        delta=settings.delta,
        on_progress=on_progress,
    )


def _conditional(sampler: Sampler, router: TransformedRouter, condition: Condition, x: Tensor) -> Denoise:
    """The denoiser of all experts under a condition and the sampler's guidance. Raises SamplingError where the router
    keeps a state."""
    own, given = sampler.router, router
    if isinstance(own, ConditionalRouter) and own.null is not None:
        given = transformed(own.given(condition), sampler.weights)
    if given.start(x, x.new_ones(len(x))) is not None:
        raise SamplingError(
            "the reference under a condition is a function of x and t, which a router with a state is not; take "
            "another router, or study with sample.condition=null"
        )
    return guided_mixture(
        schedule=sampler.schedule,
        experts=sampler.experts,
        given=given,
        router=router,
        condition=condition,
        guidance=sampler.guidance,
        weaker=sampler.weaker,
    )


@frozen(kw_only=True, eq=False)
class Oracle:
    """``exact``: the mixture. ``about``: which one, in words. ``is_smooth``: whether it is no sum of point masses.
    ``products``: by which kind its field is differentiated."""

    exact: Exact
    about: str
    is_smooth: bool = True
    products: Products = "backward"


def oracle_of(run: Run, loaded: Loaded, registry: Registry) -> Oracle:
    """The exact mixture of a run: its experts themselves where they are closed forms with a density, the Gaussian law
    of its data (D3) where there is one, and the empirical law of its items (D2) otherwise. Networks are not loaded.
    """
    shards, stored = run.shards, run.models.experts
    # All experts of a family are of one class: the first decides whether the others are loaded.
    if has_closed_experts(run) and isinstance(stored[0].load(loaded.device), DensityExpert):
        own = (part.load(loaded.device) for part in stored)
        experts = tuple(expert for expert in own if isinstance(expert, DensityExpert))
        forms = ClosedForms(schedule=loaded.schedule, experts=experts, fractions=shards.fractions)
        return Oracle(exact=forms, about="the experts themselves, which are closed forms")
    exact = [entry.definition for entry in registry.entries("expert") if entry.definition.exact_for_laws]
    if all(part.law is not None for part in shards.parts) and exact:
        gaussian = exact[0].build(exact[0].options())
        made = tuple(
            gaussian.load(one.config, gaussian.tensors(part, None), loaded.schedule)
            for one, part in zip(stored, shards.parts, strict=True)
        )
        forms = ClosedForms(schedule=loaded.schedule, experts=made, fractions=shards.fractions)
        return Oracle(exact=forms, about="the Gaussian mixture that the data were drawn from (D3)")
    engine = PosteriorEngine(shards=tuple(part.items for part in shards.parts))
    about = "the empirical law of the training items (D2), which networks that generalise do not learn"
    law = EmpiricalLaw(schedule=loaded.schedule, engine=engine)
    return Oracle(exact=law, about=about, is_smooth=False, products="forward")


def noised(run: Run, loaded: Loaded, t: Tensor, seed: int) -> Tensor:
    """Points x_t of the exact law, one for each time (B,): (B, *data) float64.

    Where the law is known they start from new samples of it, which no network has seen; elsewhere from the items.
    """
    law, parts = run.shards.as_one.law, run.shards.parts
    rng = np.random.default_rng(seed)
    if law is not None:
        component = rng.choice(len(law.weights), size=len(t), p=law.weights / law.weights.sum())
        x_0 = np.stack([rng.multivariate_normal(law.means[j], law.covariances[j]) for j in component])
    else:
        shard = rng.choice(len(parts), size=len(t), p=run.shards.fractions)
        x_0 = np.stack([to_float(np.asarray(parts[k].items[rng.integers(parts[k].count)])) for k in shard])
    start = torch.from_numpy(x_0.astype(np.float64).reshape(len(t), *loaded.shape)).to(t)
    eps = normal(key(seed, "theory", "noise"), torch.arange(len(t), device=t.device), loaded.shape, t.dtype)
    return add_noise(start, eps, point_for(loaded.schedule, t, start))
