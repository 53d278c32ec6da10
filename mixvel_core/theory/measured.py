"""What of the bounds is measured: epsilon of Lemma 2 and local Lipschitz constants by power iteration.

The paper assumes sup norms: abs(a^_k - a_k) <= ec and norm(m^_k - m_k) <= er for all x, t and k. Training makes mean
squares small, under the law of the noised data. Both are measured: a supremum over finitely many points is a lower
bound of the paper's, and the RMS is what training can be held to.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from mixvel_core.field.conversions import expand
from mixvel_core.protocols import Expert, Router
from mixvel_core.randomness import key, normal
from mixvel_core.sampling.weights import WeightTransform
from mixvel_core.theory.bound import Epsilon
from mixvel_core.theory.exact import Exact


@torch.no_grad()
def epsilon(
    exact: Exact, experts: Sequence[Expert], router: Router, weights: WeightTransform, x: Tensor, t: Tensor
) -> Epsilon:
    """K experts and a router, its weights transformed by ``weights``, beside the exact ones at noised points x,
    (B, *data), B >= 1, and times t, (B,)."""
    a, m_k = exact.parts(x, t)
    # One after the other: experts may not fit into memory together.
    er = torch.stack([(e.denoise(x, t) - m_k[:, k]).flatten(1).norm(dim=1) for k, e in enumerate(experts)], dim=1)
    ec = None
    if router.start(x, t) is None:
        ec = (weights(router.weights(x, t, None)[0].to(a), t) - a).abs()
    return Epsilon(
        er_sup=float(er.max()),
        er_rms=float((a * er**2).sum(1).mean().sqrt()),
        ec_sup=None if ec is None else float(ec.max()),
        ec_rms=None if ec is None else float((ec**2).mean().sqrt()),
        count=len(x),
    )


PointField: TypeAlias = Callable[[Tensor], Tensor]
"""Points (B, *data) to vectors (B, *data), row by row."""
Products: TypeAlias = Literal["both", "forward", "backward"]


def local_lipschitz(
    field: PointField, x: Tensor, *, products: Products = "both", iterations: int = 100, tolerance: float = 1e-3
) -> Tensor:
    """The largest singular value of the field's Jacobian J at each point, (B,).

    Power iteration on J^T J by Jacobian-vector and vector-Jacobian products of all points at once; no Jacobian is
    written down. What it finds is never too large, and too small by what the iteration has not resolved yet.

    Args:
        x: points, (B, *data), float64 for small tolerances.
        products: ``both`` for any field. Where J is its own transpose, as that of every exact velocity or score is, one
            kind is enough: ``forward`` (J u) or ``backward`` (J^T u, which costs the field itself only once).
        iterations: the most of them.
        tolerance: ends it when no point's value changes by more than this part any more.
    """
    u = _normalized(normal(key(0, "spectral"), torch.arange(len(x), device=x.device), tuple(x.shape[1:]), x.dtype))
    found = x.new_zeros(len(x))
    pulled = _pull(field, x) if products != "forward" else None
    for _ in range(iterations):
        w = pulled(u) if products == "backward" and pulled is not None else _pushed(field, x, u)
        before, found = found, w.flatten(1).norm(dim=1)
        if bool(((found - before).abs() <= tolerance * found).all()):
            break
        u = _normalized(pulled(w) if products == "both" and pulled is not None else w).detach()
    return found.detach()


def _pull(field: PointField, x: Tensor) -> PointField:
    """J^T at each point, as a function of vectors; the field itself is computed once."""
    with torch.enable_grad():
        start = x.detach().requires_grad_()
        value = field(start)

    def pulled(w: Tensor) -> Tensor:
        # Not torch.func.vjp, which imports the compiler, two seconds of it.
        back: Tensor = torch.autograd.grad(value, start, w, retain_graph=True)[0]
        return back

    return pulled


def _pushed(field: PointField, x: Tensor, u: Tensor) -> Tensor:
    """J u at each point."""
    with warnings.catch_warnings():
        # torch scripts its own table of derivatives at the first derivative, and warns of itself.
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=DeprecationWarning)
        w: Tensor = torch.func.jvp(field, (x,), (u,))[1]
    return w.detach()


def _normalized(u: Tensor) -> Tensor:
    # A field that does not depend on x has a Jacobian of zero, and nowhere to go.
    return u / expand(u.flatten(1).norm(dim=1).clamp_min(torch.finfo(u.dtype).tiny), u)
