"""Composites of adapters on one base: python tests/bench/one_base.py RUN [--adapters 8] [--steps 5 10 20 40] ...

RUN is a run of recipes/lora.yaml. The composite is the sum of w_k m_k with equal weights over the first adapters, by
all of them at every step (`mixture`) or by one (`sum-up`, `cached`); `pc` on Chebyshev points, `sum-up` by `ddim`;
float32, one thread. Seconds are medians of ``--repeats`` samplings of 64, all rows in turn; the distance is to where
the composite by all ends at ``--fine`` steps. ``merged``: each adapter merged into a network of its own. ``moments``:
the router of the run with all its adapters in place of equal weights. ``--selectors``: some rows only.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from attrs import evolve, frozen
from timing import seconds
from torch import Tensor, nn

from mixvel_core.pipeline.experts import family_on
from mixvel_core.pipeline.loaded import Loaded
from mixvel_core.pipeline.opened import Run, open_run
from mixvel_core.pipeline.ready import ready_router
from mixvel_core.protocols import Expert, Router
from mixvel_core.recipe.build import build
from mixvel_core.sampling.dispatch import GroupMember
from mixvel_core.sampling.sampler import Sampler

COUNT = 64


@frozen(kw_only=True)
class Line:
    """A row of the table: which experts, router and selector."""

    name: str
    experts: Sequence[Expert]
    router: Router
    selector: str

    @property
    def integrator(self) -> str:
        """Rounding by sums is for steps of first order."""
        return "ddim" if self.selector == "sum-up" else "pc"


def sampler(run: Run, line: Line, steps: int) -> Sampler:
    """Of a row, with so many steps."""
    options = run.recipe.sample
    return Sampler(
        schedule=run.recipe.schedule.build(),
        experts=line.experts,
        router=line.router,
        selector=build("selector", line.selector),
        integrator=build("integrator", line.integrator),
        steps=steps,
        grid="chebyshev",
        delta=options.delta,
        shape=run.shards.shape,
    )


def merged(run: Run, count: int) -> list[Expert]:
    """The first ``count`` adapters, each merged into a network of its own."""
    found: list[Expert] = []
    for stored in run.models.experts[:count]:
        family: Any = evolve(family_on(stored.family, stored.base), merge=True)  # type: ignore[misc]  # a family of lora
        found.append(family.load(stored.config, stored.tensors(), run.recipe.schedule.build()))
    return found


def held(networks: Sequence[nn.Module]) -> int:
    """Bytes of all tensors of networks, those that they share once."""
    every = [tensor.untyped_storage() for network in networks for tensor in network.state_dict().values()]
    return sum({storage.data_ptr(): storage.nbytes() for storage in every}.values())


def bytes_line(run: Run, one: Sequence[Expert], many: Sequence[Any]) -> str:
    """What the base, the base with adapters, and networks of their own take."""
    stored = run.models.monolith
    first: Any = one[0]
    assert stored is not None
    assert isinstance(first, GroupMember)
    base: Any = stored.load()
    group: Any = first.group
    kib = [f"{held(found) / 1024:.1f} KiB" for found in ([base.network], [group.adapted], [m.network for m in many])]
    count = len(run.models.experts)
    return f"in memory: the base {kib[0]}; with all {count} adapters {kib[1]}; {len(many)} merged networks {kib[2]}"


def distance(x: Tensor, end: Tensor) -> str:
    """Median and RMS over samples."""
    path = (x - end).flatten(1).double().norm(dim=1)
    return f"{float(path.median()):.3f} / {float(path.square().mean().sqrt()):.3f}"


def main(names: Sequence[str] | None = None) -> None:
    """Prints what is in memory, and a row of a Markdown table for each line and step count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--steps", type=int, nargs="*", default=[5, 10, 20, 40])
    parser.add_argument("--fine", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--selectors", nargs="*", default=["mixture", "sum-up", "cached"])
    given = parser.parse_args(names)
    torch.set_num_threads(1)
    run = open_run(given.run)
    loaded = Loaded(run.models, run.recipe.sample, torch.device("cpu"))
    grouped, apart = loaded.experts()[: given.adapters], merged(run, given.adapters)
    print(bytes_line(run, grouped, apart), flush=True)
    equal = ready_router("fixed", {"weights": "uniform"}, experts=given.adapters, schedule=run.recipe.schedule.build())
    moments = loaded.router("moments")
    of_equal = [("", grouped), ("merged, ", apart)]
    lines = [
        Line(name=f"{how}{selector}", experts=experts, router=equal, selector=selector)
        for how, experts in of_equal
        for selector in ("mixture", "sum-up", "cached")
    ]
    lines += [
        Line(name=f"moments, {selector}", experts=loaded.experts(), router=moments, selector=selector)
        for selector in ("mixture", "cached")
    ]
    ends = {
        line.router: sampler(run, line, given.fine).sample(count=COUNT, seed=0, batch=COUNT).x
        for line in (lines[0], lines[-2])
    }
    lines = [line for line in lines if line.selector in given.selectors]
    for steps in given.steps:
        made = [sampler(run, line, steps) for line in lines]
        samples = [one.sample(count=COUNT, seed=0, batch=COUNT) for one in made]
        times: list[list[float]] = [[] for _ in lines]
        for _ in range(given.repeats):
            for found, one in zip(times, made, strict=True):
                found.append(seconds(lambda one=one: one.sample(count=COUNT, seed=0, batch=COUNT)))  # type: ignore[misc]  # mypy infers no lambda with defaults
        for line, found, sample in zip(lines, times, samples, strict=True):
            each = 1000 * median(found) / steps
            cost, path = float(sample.evaluations.double().mean()), distance(sample.x, ends[line.router])
            print(f"| {line.name} | {steps} | {cost:g} | {each:.1f} | {path} |", flush=True)


if __name__ == "__main__":
    main()
