"""By whose weights a guidance routes its reference: python tests/bench/routes.py RUN, of recipes/labelled-mixture.yaml.

Of exact experts and an exact router, the guided flows of 256 samples, classes in turn, by dopri5. For each scale w:
RMS of M_own - M_shared along the flow of ``own``, with what is left of it when
(w - 1) sum_k (a_k(x, c) - a_k(x)) m_k(x) is taken away; the distance between the ends of both flows from the same
noise; and the probability of the class that was asked for, p(c | x) of the law, at the ends of the conditional flow
(w = 1), of both routes and of autoguidance by the monolith.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from attrs import evolve, frozen
from torch import Tensor

import mixvel_core as mx
from mixvel_core.field.mixture import weighted_sum
from mixvel_core.pipeline.opened import Run
from mixvel_core.protocols import CLASS, Condition, ConditionalRouter
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.guided_flow import guided_mixture
from mixvel_core.sampling.observation import evaluate_all
from mixvel_core.sampling.ode import Denoise, flow
from mixvel_oracles.labelled import LabelledExpert, labelled_expert

COUNT, SCALES = 256, (1.0, 3.0, 7.5)
TIMES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.001)
TOLERANCE = 1e-8


@frozen(kw_only=True, eq=False)
class Flows:
    """Guided flows of a run's models from the same noise, and the law of its data, ``whole``."""

    run: Run
    condition: Condition
    whole: LabelledExpert

    def denoiser(self, guidance: str, scale: float, route: str | None = None) -> Denoise:
        """M of all experts by a guidance."""
        chosen = {"use": guidance, "scale": scale} | ({} if route is None else {"route": route})
        sampler = self.run.sampler(selector="mixture", guidance=chosen)
        router = sampler.router
        if not isinstance(router, ConditionalRouter):
            raise SystemExit("the router of this run reads no class")
        return guided_mixture(
            schedule=sampler.schedule,
            experts=sampler.experts,
            given=router.given(self.condition),
            router=router,
            condition=self.condition,
            guidance=sampler.guidance,
            weaker=sampler.weaker,
        )

    def path(self, denoise: Denoise) -> Tensor:
        """The points at all times, (len(TIMES), COUNT, D)."""
        draws = SampleDraws(seed=0, index=torch.arange(COUNT))
        x, schedule = draws.noise(self.run.shards.shape, torch.float64), self.run.models.schedule.build()
        return flow(denoise, x, schedule=schedule, times=TIMES, rtol=TOLERANCE, atol=TOLERANCE)

    def difference(self, x: Tensor, t: float) -> Tensor:
        """sum_k (a_k(x, c) - a_k(x)) m_k(x)."""
        sampler = self.run.sampler(selector="mixture")
        at_t, router = x.new_full((len(x),), t), sampler.router
        if not isinstance(router, ConditionalRouter):
            raise SystemExit("the router of this run reads no class")
        of_class, _ = router.given(self.condition).weights(x, at_t, None)
        without, _ = router.weights(x, at_t, None)
        return weighted_sum(of_class - without, evaluate_all(sampler.experts, x, t))

    def agreement(self, x: Tensor) -> tuple[float, float]:
        """p(c | x) of the law at the end, the mean; and the share of samples whose likeliest class is c."""
        t = x.new_full((len(x),), TIMES[-1])
        each = [evolve(self.whole, classes=torch.full((len(x),), c)) for c in range(self.whole.count)]
        p = torch.stack([one.log_density(x, t) for one in each], dim=1).softmax(1)
        c = self.condition.values[CLASS]
        return float(p.gather(1, c[:, None]).mean()), float((p.argmax(1) == c).double().mean())


def main(folder: Path) -> None:
    """Prints a Markdown table."""
    torch.set_num_threads(1)
    run = mx.open_run(folder)
    law = run.shards.as_one.law
    [spec] = run.shards.conditions
    if law is None or law.classes is None:
        raise SystemExit(f"{folder}: no run of recipes/labelled-mixture.yaml")
    condition = Condition(values={CLASS: torch.arange(COUNT) % spec.classes})
    whole = labelled_expert(law, law.classes, run.models.schedule.build(), spec.classes)
    flows = Flows(run=run, condition=condition, whole=whole)
    print(
        "| w | RMS of M_own - M_shared | not explained | ends apart, median | RMS | p(c given x): own | shared | auto |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for w in SCALES:
        own, shared = (flows.denoiser("cfg", w, route) for route in ("own", "shared"))
        paths = [flows.path(one) for one in (own, shared, flows.denoiser("autoguidance", w))]
        apart, left = [], []
        for t, x in zip(TIMES, paths[0], strict=True):
            found = own(x, t) - shared(x, t)
            apart.append(found.square().sum(1))
            left.append((found - (w - 1.0) * flows.difference(x, t)).abs().max())
        ends = (paths[0][-1] - paths[1][-1]).norm(dim=1)
        agreed = " | ".join(f"{mean:.3f} ({share:.1%})" for mean, share in (flows.agreement(one[-1]) for one in paths))
        print(
            f"| {w:g} | {float(torch.stack(apart).mean().sqrt()):.3g} | {float(max(left)):.1g} | "
            f"{float(ends.median()):.3g} | {float(ends.square().mean().sqrt()):.3g} | {agreed} |"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
