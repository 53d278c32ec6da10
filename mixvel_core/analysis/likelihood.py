"""The likelihood of items under a run's models, in bits per dimension: metric ``nll`` of a study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import evolve, field, frozen
from torch import Tensor

from mixvel_core.analysis.cells import read_kept, sampler_of, write_kept
from mixvel_core.analysis.records import LikelihoodRow
from mixvel_core.analysis.references import TransformedRouter, transformed
from mixvel_core.analysis.settings import StudySettings
from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.errors import UsageError
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.evaluate import real_items
from mixvel_core.pipeline.loaded import Loaded, models_key
from mixvel_core.pipeline.opened import Run
from mixvel_core.protocols import Expert, Items, Progress
from mixvel_core.recipe.dump import keyed
from mixvel_core.sampling.likelihood import Trace, bits_per_dimension, dequantised, log_density, mixture_log_density
from mixvel_core.sampling.ode import Denoise, full_mixture
from mixvel_core.sampling.routed_field import SingleExpertRouter

EXACT_UP_TO = 32
"""Dimensions whose trace is exact unless probes are given: it takes as many products."""
BYTES = 256


@frozen(kw_only=True)
class Likelihoods:
    """``rows``: of each model, empty where nothing was computed. ``conditions``: what their numbers hold for."""

    rows: tuple[LikelihoodRow, ...] = ()
    conditions: Mapping[str, Any] = field(factory=dict)


def _flow_items(run: Run) -> Items | None:
    """The items whose likelihood is taken, as they are stored; with a codec their latents: the flow is in these."""
    if run.shards.codec is None or run.recipe.evaluate.data is None:
        return real_items(run.recipe.evaluate, run.shards.parts)
    codec = run.shards.codec.load()
    items = real_items(run.recipe.evaluate, run.shards.parts, codec)
    return None if items is None else codec.encoded(items)


def likelihood_of(run: Run, settings: StudySettings, loaded: Loaded, folder: Path, progress: Progress) -> Likelihoods:
    """Bits per dimension of items by the mixture's flow, by each expert's own, and by the monolith's.

    Args:
        run, settings, loaded: as of the study; nothing is computed without ``study.likelihood``.
        folder: ``study/`` of the run, where results are kept.
        progress: a bar over blocks of items.

    Raises:
        UsageError: there are no items, delta is 0, or the router carries a state.
        SamplingError: a field is too rough for the tolerances.
    """
    options = settings.likelihood
    if options is None:
        return Likelihoods()
    if settings.condition is not None:
        raise UsageError(
            "study.likelihood: is that of items without a condition or guidance; take sample.condition=null, or leave "
            "study.likelihood out"
        )
    if settings.delta == 0.0:
        raise UsageError("study.likelihood: sample.delta is 0, where a flow has no density; take a delta above 0")
    items = _flow_items(run)
    if items is None:
        raise UsageError("study.likelihood: the data are with their owners; name items as `evaluate.data`")
    if len(items) < 2:
        raise UsageError("study.likelihood: one item has no mean with an error; take more data")
    sampler = sampler_of(settings.curves[0], 1, settings, loaded)
    router = transformed(sampler.router, sampler.weights)
    x = torch.zeros(1, *loaded.shape, device=loaded.device)
    if router.start(x, x.new_ones(1)) is not None:
        raise UsageError(
            f"study.likelihood: router {settings.router} carries a state, so that its mixture has no density in closed "
            "form; name another one as study.router"
        )
    chosen = np.random.default_rng(settings.seed).choice(len(items), min(options.count, len(items)), replace=False)
    stored = np.asarray(items[chosen])
    levels = options.levels or (BYTES if stored.dtype == np.uint8 else None)
    dimension = int(np.prod(loaded.shape))
    probes = options.probes or (None if dimension <= EXACT_UP_TO else 1)
    about = {
        "nll items": len(stored),
        "nll of": ("latents of " if run.shards.codec else "")
        + ("evaluate.data" if run.recipe.evaluate.data else "the shards' items"),
        "nll levels": levels,
        "nll trace": "exact" if probes is None else f"Hutchinson, {probes} {'probe' if probes == 1 else 'probes'}",
        "nll tolerance": settings.tolerance,
    }
    x = torch.from_numpy(to_float(stored)).to(settings.dtype)
    if levels is not None:
        x = dequantised(x, levels, torch.from_numpy(chosen), settings.seed)
    task = _Solving(
        settings=settings,
        loaded=loaded,
        fractions=run.shards.fractions,
        x=x.to(loaded.device),
        index=torch.from_numpy(chosen).to(loaded.device),
        trace=Trace(probes=probes, seed=settings.seed),
    )
    models: dict[str, str | None] = {"mixture": settings.router, "experts": settings.router}
    if run.models.monolith is not None:
        models["monolith"] = None
    rows = []
    for model, routed_by in models.items():
        name = key_of(
            model=model,
            models=models_key(run.models, routed_by),
            items=[run.shards.key, keyed(run.recipe.evaluate.data)],
            likelihood=keyed(options),
            seed=settings.seed,
            delta=settings.delta,
            precision=settings.precision,
            tolerance=settings.tolerance,
            weights=keyed(loaded.options.weights),
        )
        artifact = Artifact(folder=folder, key=name, name=name)
        kept = read_kept(artifact, "log_p")
        if kept is None:
            report_damage([artifact.first_damaged()], progress)
            kept = (task.log_p(model, router, progress),)
            write_kept(artifact, {"log_p": kept[0]}, model=model, **about)
        bits = bits_per_dimension(torch.from_numpy(kept[0]), dimension, levels)
        rows.append(LikelihoodRow(model=model, nll=float(bits.mean()), error=float(bits.std()) / len(bits) ** 0.5))
    return Likelihoods(rows=tuple(rows), conditions=about)


@frozen(kw_only=True, eq=False)
class _Solving:
    """Items ``x``, (n, *data), with their ``index``, (n,), and how their likelihood is solved for."""

    settings: StudySettings
    loaded: Loaded
    fractions: tuple[float, ...]
    x: Tensor
    index: Tensor
    trace: Trace

    def log_p(self, model: str, router: TransformedRouter, progress: Progress) -> np.ndarray:
        """log p of each item under ``mixture``, ``experts`` or ``monolith``, (n,) float64."""
        experts = self.loaded.experts(monolith=model == "monolith")
        if model == "mixture":
            fields = [full_mixture(schedule=self.loaded.schedule, experts=experts, router=router)]
        else:
            fields = [self._flow_of(expert) for expert in experts]
        # Backwards costs less, but closed forms of items sum in place, which has no way back.
        items = self.settings.items_in_experts or (model == "mixture" and self.settings.items_in_router)
        trace = evolve(self.trace, products="forward" if items else "backward")
        blocks = list(self._blocks())
        found = self.x.new_zeros(len(self.x), len(fields), dtype=torch.float64)
        with progress.task(f"likelihood {model}", len(fields) * len(blocks), "blocks") as bar:
            for k, denoise in enumerate(fields):
                for done, block in enumerate(blocks, start=1):
                    found[block, k] = self._solve(denoise, block, trace)
                    bar.update(k * len(blocks) + done)
        log_p = mixture_log_density(found, self.fractions) if model == "experts" else found[:, 0]
        return log_p.cpu().numpy()

    def _flow_of(self, expert: Expert) -> Denoise:
        return full_mixture(schedule=self.loaded.schedule, experts=[expert], router=SingleExpertRouter())

    def _blocks(self) -> Iterator[slice]:
        for first in range(0, len(self.x), self.settings.block):
            yield slice(first, first + self.settings.block)

    def _solve(self, denoise: Denoise, block: slice, trace: Trace) -> Tensor:
        return log_density(
            denoise,
            self.x[block],
            schedule=self.loaded.schedule,
            delta=self.settings.delta,
            trace=trace,
            index=self.index[block],
            rtol=self.settings.tolerance,
            atol=self.settings.tolerance,
        )
