"""What `cached` costs and brings: work at equal error, and the memory of its cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from exact import Exact, exact
from timing import Row

from mixvel_core.protocols import Selector
from mixvel_integrators.integrators import Multistep
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.cached import Cached
from mixvel_selectors.memory import empty_memory
from mixvel_selectors.selectors import Mixture, Nucleus

COUNT = 60
LADDER = (10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 56, 68, 80, 96)


def selection_rows() -> Iterator[Row]:
    """Expert evaluations to reach the error of the mixture at 40 steps, over those of the mixture."""
    for K in (8, 64):
        problem = exact(Cosine(), experts=K, dimension=16, seed=0)
        end = problem.exact(count=COUNT)
        goal, _ = _error(problem, end, Mixture(), 40)
        for name, selector in (
            ("cached", Cached()),
            ("cached, tolerance 0.3", Cached(tolerance=0.3)),
            ("nucleus 0.99", Nucleus(mass=0.99)),
        ):
            cost = _cost_to_reach(problem, end, selector, 1.05 * goal)
            if cost is not None:
                yield Row(
                    name=f"evaluations of {name} over those of mixture, at equal median error, K={K}",
                    value=cost / (40 * K),
                    low=cost / (40 * K),
                    high=cost / (40 * K),
                    unit="times",
                    conditions={
                        "problem": f"Gaussian mixture, D=16, cosine, 2m, error of mixture at 40 steps +5% ({goal:.3g})",
                        "evaluations": f"{cost:.4g} against {40 * K}",
                    },
                )
    yield _memory_row()


def _cost_to_reach(problem: Exact, end: torch.Tensor, selector: Selector, goal: float) -> float | None:
    for steps in LADDER:
        error, cost = _error(problem, end, selector, steps)
        if error <= goal:
            return cost
    return None


def _error(problem: Exact, end: torch.Tensor, selector: Selector, steps: int) -> tuple[float, float]:
    x, field = problem.run(selector, Multistep(), steps, count=COUNT)
    return float((x - end).norm(dim=1).median()), float(field.evaluations.double().mean())


def _memory_row() -> Row:
    """Bytes of the cache over bytes of the images of a batch, counted from its tensors."""
    K, x = 8, torch.zeros(16, 3, 32, 32)
    memory = empty_memory(x, Cosine(), None, K, carried=1.0)
    held = sum(
        tensor.numel() * tensor.element_size()
        for tensor in (memory.last, memory.before, memory.last_angle, memory.before_angle, memory.count)
    )
    images = x.numel() * x.element_size()
    return Row(
        name="memory of the cache of K=8 experts, in images a sample",
        value=held / images,
        low=held / images,
        high=held / images,
        unit="images",
        target="2 K = 16",
        conditions={"images": "3x32x32 float32"},
    )
