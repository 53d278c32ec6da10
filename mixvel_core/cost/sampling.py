"""What sampling costs: evaluations of networks, and their FLOPs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixvel_core.cost.jobs import PlannedJob
from mixvel_core.cost.words import amount
from mixvel_core.recipe.model import Recipe
from mixvel_core.stages.sample import draws_of


def sampling(recipe: Recipe, jobs: Sequence[PlannedJob], experts: int) -> Iterator[str]:
    """Lines about sampling. Selectors decide as they go, so of ``experts`` K there are from 1 to K at each step."""
    count = recipe.sample.count
    networks = {job.group: job.network for job in jobs}
    fewest = most = router = 0
    flops = [0, 0]
    for draw in draws_of(recipe.sample, list(recipe.routers)):
        asked = count * draw.steps * draw.integrator.build().evaluations
        widest = 1 if draw.router is None else experts
        fewest, most = fewest + asked, most + asked * widest
        network = networks.get("monolith" if draw.router is None else "experts")
        # A router of several networks asks one of them at a time.
        weigher = networks.get(f"router {draw.router}")
        own = asked * weigher.forward if weigher is not None else 0
        router += own
        for place, evaluations in enumerate((asked, asked * widest)):
            flops[place] += own + (evaluations * network.forward if network is not None else 0)
    what = f"{amount(fewest)} to {amount(most)} evaluations of an expert, by the selector"
    if not flops[1]:
        yield f"sampling    {what}"
        return
    cost = " to ".join(amount(one, "FLOP") for one in flops)
    yield f"sampling    {what}; {cost}, of which routers {amount(router, 'FLOP')}"
