"""Which exact mixture a run is measured against, and points of its law."""

from __future__ import annotations

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.certificate.setting import is_closed
from mixvel_core.field.conversions import add_noise, point_for
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.field.scale import to_float
from mixvel_core.finished import Finished
from mixvel_core.plugin.registry import Registry
from mixvel_core.protocols import DensityExpert, GaussianLaw
from mixvel_core.randomness import key, normal
from mixvel_core.stages.sample import Loaded
from mixvel_core.theory.exact import ClosedForms, EmpiricalLaw, Exact
from mixvel_core.theory.spectral import Products

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


def oracle_of(finished: Finished, loaded: Loaded, registry: Registry) -> Oracle:
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


def noised(finished: Finished, loaded: Loaded, t: Tensor, seed: int) -> Tensor:
    """Points x_t of the exact law, one for each time (B,): (B, *data) float64.

    Where the law is known they start from new draws of it, which no network has seen; elsewhere the items are the law.
    """
    law = finished.shards.whole.law
    rng = np.random.default_rng(seed)
    x_0 = _drawn(law, len(t), rng) if law is not None else _items(finished, len(t), rng)
    start = torch.from_numpy(x_0.reshape(len(t), *loaded.shape)).to(t)
    eps = normal(key(seed, "theory", "noise"), torch.arange(len(t), device=t.device), loaded.shape, t.dtype)
    return add_noise(start, eps, point_for(loaded.schedule, t, start))


def _drawn(law: GaussianLaw, count: int, rng: np.random.Generator) -> np.ndarray:
    component = rng.choice(len(law.weights), size=count, p=law.weights / law.weights.sum())
    return np.stack([rng.multivariate_normal(law.means[j], law.covariances[j]) for j in component])


def _items(finished: Finished, count: int, rng: np.random.Generator) -> np.ndarray:
    parts = finished.shards.parts
    shard = rng.choice(len(parts), size=count, p=finished.shards.fractions)
    return np.stack([to_float(np.asarray(parts[k].items[rng.integers(parts[k].count)])) for k in shard]).astype(float)
