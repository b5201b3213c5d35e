"""Class probabilities of a classifier, or of several that vote, and how certain they are."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def class_probs(logits: Tensor | Sequence[Tensor]) -> Tensor:
    """Gives probabilities, shape (N, K), float32, without a gradient; several classifiers are averaged.

    Args:
        logits: shape (N, K), or a sequence of such tensors (MCD, SymNets).

    Example:
        >>> class_probs([torch.zeros(1, 2), torch.zeros(1, 2)])
        tensor([[0.5000, 0.5000]])
    """
    several = [logits] if isinstance(logits, Tensor) else list(logits)
    if not several or any(not isinstance(one, Tensor) or one.ndim != 2 for one in several):
        came = [tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__ for one in several]
        raise ValueError(f"logits must have shape (N, K), got {came}")
    return torch.stack([one.detach().float().softmax(1) for one in several]).mean(0)


def faded_by_doubt(probs: Tensor) -> Tensor:
    """Probabilities times their certainty, q (1 - H(q) / log K): a sample that may be anything counts as nothing.

    Args:
        probs: q, shape (N, K), 0..1, rows that sum to 1. With one class there is no doubt.

    Example:
        >>> faded_by_doubt(torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
        tensor([[1., 0.],
                [0., 0.]])
    """
    most = math.log(max(probs.shape[1], 2))
    entropy = torch.special.entr(probs).sum(1, keepdim=True)
    return probs * (1 - entropy / most).clamp(0, 1)
