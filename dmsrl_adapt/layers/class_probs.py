"""Class probabilities of a classifier, or of several that vote."""

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
    if not several or any(one.ndim != 2 for one in several):
        raise ValueError(f"logits must have shape (N, K), got {[tuple(one.shape) for one in several]}")
    return torch.stack([one.detach().float().softmax(1) for one in several]).mean(0)
