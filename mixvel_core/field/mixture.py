"""D1: the mixture's denoiser is the weighted sum of the experts' denoisers, whichever of them were evaluated."""

from __future__ import annotations

from torch import Tensor

from mixvel_core.field.conversions import expand
from mixvel_core.protocols import Evaluations


def weighted_sum(weights: Tensor, answers: Evaluations) -> Tensor:
    """M = sum over the evaluations of weight times answer, (B, *data).

    Args:
        weights: (B, K); only the entries that were evaluated are used.
        answers: the evaluations.
    """
    scale = weights[answers.sample, answers.expert]
    M = answers.m.new_zeros((len(weights), *answers.m.shape[1:]))
    return M.index_add_(0, answers.sample, expand(scale, answers.m) * answers.m)
