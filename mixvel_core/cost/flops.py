"""FLOPs of a run's models, counted once as they run: of one evaluation of an expert, and of one call of a router.

Matrix products and convolutions are counted, a multiply-add as two, and nothing else: of closed forms their products.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.artifacts.files import read_json, write_json
from mixvel_core.pipeline.loaded import Models
from mixvel_core.pipeline.sample import StoredSamples
from mixvel_core.protocols import Condition, ConditionalExpert, Expert, Progress, Router
from mixvel_core.recipe.dump import keyed

if TYPE_CHECKING:
    import numpy as np

EARLY, LATER = 1.0, 0.5
"""Times at which a router is called. The second call is counted: a router may do more, or less, in its first."""


def counted(call: Callable[[], object]) -> int:
    """The FLOPs of a call."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def expert_flops(expert: Expert, shape: Sequence[int]) -> int:
    """FLOPs of one evaluation, m(x, t) at one point of ``shape`` (*data), on the CPU; of one that reads conditions,
    under one of zeros, for not every network has a null one."""
    import torch

    if isinstance(expert, ConditionalExpert) and (null := expert.null) is not None:
        expert = expert.given(Condition(values={name: torch.zeros_like(one) for name, one in null.values.items()}))
    x = torch.zeros(1, *shape)
    return counted(lambda: expert.denoise(x, x.new_full((1,), LATER)))


def router_flops(router: Router, shape: Sequence[int]) -> int:
    """FLOPs of one call, a(x, t) at one point of ``shape`` (*data), on the CPU and along a trajectory."""
    import torch

    x = torch.zeros(1, *shape)
    early, later = (x.new_full((1,), t) for t in (EARLY, LATER))
    with torch.no_grad():
        _, state = router.weights(x, early, router.start(x, early))
    return counted(lambda: router.weights(x, later, state))


@frozen(kw_only=True)
class SampleCost:
    """What one sample costs, a mean over samples: ``evaluations`` of experts, ``flops`` of experts and router."""

    evaluations: float
    flops: float


@frozen(kw_only=True)
class ModelFlops:
    """``experts``: of one evaluation of each, (K,). ``monolith``: of one of its evaluations, if there is one.
    ``routers``: of one call of each, by name. ``by_key``: of all models that were ever counted in the run."""

    experts: tuple[int, ...]
    monolith: int | None
    routers: Mapping[str, int]
    by_key: Mapping[str, int] = field(factory=dict, eq=False, repr=False)

    def counts(self) -> dict[str, Any]:
        """The numbers as plain data."""
        return {"experts": list(self.experts), "monolith": self.monolith, "routers": dict(self.routers)}

    def share(self, router: str) -> float | None:
        """A call of ``router`` in evaluations of an expert, the mean of them all; None where these count nothing."""
        mean = sum(self.experts) / len(self.experts)
        return self.routers[router] / mean if mean else None

    def of_usage(self, usage: np.ndarray, evaluations: float, router: str | None, *, by_weaker: bool = False) -> float:
        """FLOPs of a sample, from the experts that the calls of the field evaluated.

        Args:
            usage: for each call, the share of samples that evaluated each expert, (calls, K).
            evaluations: of a sample, the mean; those beyond ``usage`` are a router's that observes or a guidance's, and
                count as the mean of all experts.
            router: which one was called each time; None: the monolith was sampled.
            by_weaker: whether a guidance compared with the monolith: then those beyond are its own.
        """
        shares = usage.sum(axis=0, dtype="float64")
        each = (self.monolith or 0,) if router is None else self.experts
        # The router of an earlier question may not be among those that were asked for last.
        calls = len(usage) * (0 if router is None else self.routers.get(router, 0))
        beyond = float(self.monolith or 0) if by_weaker else sum(each) / len(each)
        further = max(0.0, evaluations - float(shares.sum())) * beyond
        return calls + further + sum(float(share) * flops for share, flops in zip(shares, each, strict=True))

    def of_samples(self, samples: StoredSamples) -> SampleCost:
        """The cost of a row and column of the table."""
        evaluations = float(samples.array("evaluations").mean())
        draw = samples.draw
        flops = self.of_usage(samples.array("usage"), evaluations, draw.router, by_weaker=draw.by_weaker)
        return SampleCost(evaluations=evaluations, flops=flops)


def model_flops(models: Models, folder: Path, progress: Progress) -> ModelFlops:
    """Counts experts, monolith and routers of a run, one in memory at a time, and keeps what it finds in ``cost/``.

    Args:
        folder: of the run. What was counted there before, of models that another question was about, is kept.
        progress: a bar over models; none where all is known.
    """
    experts, monolith, routers = models.experts, models.monolith, models.routers
    key = key_of(
        schedule=keyed(models.schedule),
        experts=[one.key for one in experts],
        monolith=monolith.key if monolith else None,
        routers={name: one.key for name, one in routers.items()},
    )
    artifact = Artifact(folder=folder / "cost", key=key)
    path = artifact.folder / "flops.json"
    if not artifact.is_done():
        report_damage([artifact.first_damaged()], progress)
        counted_before = _by_key(path) if artifact.has_undamaged_files() else {}
        by_key = counted_before | _counted_models(models, counted_before, progress)
        found = flops_of(models, by_key)
        write_json(path, {**found.counts(), "models": by_key})
        artifact.commit([path.name])
    by_key = _by_key(path)
    return flops_of(models, by_key) if by_key else _of_names(path)


def flops_of(models: Models, by_key: Mapping[str, int]) -> ModelFlops:
    """The FLOPs of models that were all counted, by their keys."""
    return ModelFlops(
        experts=tuple(by_key[one.key] for one in models.experts),
        monolith=by_key[models.monolith.key] if models.monolith else None,
        routers={name: by_key[one.key] for name, one in models.routers.items()},
        by_key=by_key,
    )


def _by_key(path: Path) -> dict[str, int]:
    return {str(key): int(flops) for key, flops in read_json(path).get("models", {}).items()}


def _of_names(path: Path) -> ModelFlops:
    """As a version wrote it that kept no keys."""
    found = read_json(path)
    return ModelFlops(experts=tuple(found["experts"]), monolith=found["monolith"], routers=found["routers"])


def _counted_models(models: Models, known: Mapping[str, int], progress: Progress) -> dict[str, int]:
    """Of the models that are not known yet, by their keys."""
    shape = models.experts[0].config.shape
    networks = [*models.experts, *([models.monolith] if models.monolith else [])]
    experts = [one for one in networks if one.key not in known]
    routers = [one for one in models.routers.values() if one.key not in known]
    found: dict[str, int] = {}
    with progress.task("flops", len(experts) + len(routers), "models") as bar:
        for one in experts:
            found[one.key] = expert_flops(one.load(), shape)
            bar.update(len(found))
        for router in routers:
            found[router.key] = router_flops(router.load(), shape)
            bar.update(len(found))
    return found
