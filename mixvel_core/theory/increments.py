"""Where the error of a trajectory comes from: every step's increment in four parts (the paper's eq. 22, 201).

With x_n sampled, y_n on the exact flow from the same noise, and e_n = x_n - y_n, the increment e_{n+1} - e_n is the sum
of

- drift: what the exact step does to x_n less what it does to y_n; it damps or amplifies the error that is there;
- truncation: where the exact step takes y_n, less y_{n+1}: the integrator's own defect;
- selection: the step with the selected experts less that with their full mixture, both from x_n. For experts drawn
  from the posterior its mean is zero: the martingale part;
- network: the step with the approximate full mixture less that with the exact one, both from x_n.

For Euler these are the paper's: drift is h (v(y_n) - v(x_n)), and so on. As differences of steps they exist for every
integrator; one with a memory has a memory of each of the four fields it walks through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import Field, Integrator
from mixvel_core.sampling.routed_field import RoutedField

PARTS = ("drift", "truncation", "selection", "network")


@frozen(kw_only=True, eq=False)
class Increment:
    """One step from time ``t`` to ``s``: ``before`` is e_n, ``after`` e_{n+1}, ``x`` the sampled x_n, and the four
    parts of after - before; all (B, *data)."""

    t: float
    s: float
    x: Tensor
    before: Tensor
    after: Tensor
    drift: Tensor
    truncation: Tensor
    selection: Tensor
    network: Tensor

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """In the order of ``PARTS``."""
        return self.drift, self.truncation, self.selection, self.network


@torch.no_grad()
def exact_steps(*, integrator: Integrator, times: Sequence[float], path: Tensor, exact: Field) -> list[Tensor]:
    """Where one step takes each point of ``path``, (N + 1, B, *data), the flow of ``exact`` at N + 1 falling times; all
    selectors are compared with it, so it is made once."""
    found, memory = [], None
    for n, (t, s) in enumerate(pairwise(times)):
        x, memory = integrator.step(exact, path[n], t, s, memory)
        found.append(x)
    return found


@torch.no_grad()
def increments(
    *,
    integrator: Integrator,
    times: Sequence[float],
    path: Tensor,
    along: Sequence[Tensor],
    selected: Field,
    mixture: Field,
    exact: Field,
) -> Iterator[Increment]:
    """The steps of trajectories that start where the exact flow does.

    Args:
        integrator: of all four fields.
        times: N + 1 of them, falling.
        path: the exact flow at these times, (N + 1, B, *data).
        along: where the integrator's exact steps take the path's points (``exact_steps``), N of (B, *data).
        selected: the field that is sampled: router, selector and experts.
        mixture: the full mixture that selection stands for, evaluated at the same points. The same object as ``exact``
            where nothing is approximated: then the network part is zero.
        exact: the field whose flow ``path`` is.

    Yields:
        N increments, from noise to data.
    """
    x = path[0]
    memory: list[Any] = [None] * 3
    for n, (t, s) in enumerate(pairwise(times)):
        y, y_next = path[n], path[n + 1]
        if isinstance(selected, RoutedField):
            selected.begin_step(t, s)
        by_selected, memory[0] = integrator.step(selected, x, t, s, memory[0])
        by_exact, memory[1] = integrator.step(exact, x, t, s, memory[1])
        if mixture is exact:
            by_mixture = by_exact
        else:
            by_mixture, memory[2] = integrator.step(mixture, x, t, s, memory[2])
        yield Increment(
            t=t,
            s=s,
            x=x,
            before=x - y,
            after=by_selected - y_next,
            drift=(by_exact - x) - (along[n] - y),
            truncation=along[n] - y_next,
            selection=by_selected - by_mixture,
            network=by_mixture - by_exact,
        )
        x = by_selected
