"""The cells of exact labelled mixtures, one Gaussian each, for the routers in closed form."""

from __future__ import annotations

import torch
from gaussian_shards import gaussians_of
from labelled import CLASSES, LabelledProblem

from mixvel_core.field.class_gaussians import ClassGaussians
from mixvel_oracles.denoisers import GaussianExpert
from mixvel_routers.class_prior import ClassPrior


def cells_of(problem: LabelledProblem) -> ClassGaussians:
    """The component of each class, twice, and both components for the null condition: J is the same for all."""
    cells = tuple(
        gaussians_of(
            [
                GaussianExpert(
                    schedule=expert.schedule,
                    weights=torch.full((2,), 0.5, dtype=torch.float64),
                    means=expert.means[[c, c]],
                    variances=expert.variances[[c, c]],
                    axes=expert.axes[[c, c]],
                )
                for expert in problem.experts
            ]
        )
        for c in range(CLASSES)
    )
    return ClassGaussians(by_class=(*cells, gaussians_of(problem.experts)))


def prior_of(problem: LabelledProblem) -> ClassPrior:
    """p(k | c) of the mixture."""
    pi = torch.tensor(problem.fractions, dtype=torch.float64)
    joint = (pi[:, None] * torch.stack([expert.weights for expert in problem.experts])).T
    return ClassPrior(table=torch.cat([joint / joint.sum(1, keepdim=True), pi[None]]))
