"""Class probabilities of a classifier, or of several that vote, and how certain they are."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import check_fractions, check_shape


def class_probs(logits: Tensor | Sequence[Tensor]) -> Tensor:
    """Returns probabilities, shape (N, K), float32, without a gradient; several classifiers are averaged.

    Args:
        logits: shape (N, K), or a sequence of such tensors (MCD, SymNets).

    Examples:
        >>> class_probs([torch.zeros(1, 2), torch.zeros(1, 2)])
        tensor([[0.5000, 0.5000]])
    """
    several = [logits] if isinstance(logits, Tensor) else list(logits)
    if not several or any(not isinstance(one, Tensor) or one.ndim != 2 for one in several):
        came = [tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__ for one in several]
        raise ValueError(f"logits must have shape (N, K), got {came}")
    return torch.stack([one.detach().float().softmax(1) for one in several]).mean(0)


def certainty(probs: Tensor) -> Tensor:
    """How sure a sample's class is, 1 - H(q) / log K; shape (N,), 0..1. With one class there is no doubt.

    Args:
        probs: q, shape (N, K), 0..1, rows that sum to 1.

    Examples:
        >>> certainty(torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
        tensor([1., 0.])
    """
    most = math.log(max(probs.shape[1], 2))
    return (1 - torch.special.entr(probs).sum(1) / most).clamp(0, 1)


def with_known_classes(probs: Tensor, labels: Tensor) -> Tensor:
    """Returns certainty, 1 for the class and 0 for all others, to the rows whose class is known.

    Args:
        probs: shape (N, K), floating point.
        labels: shape (N,), int64, 0..K-1, or -1 where the class is not known, whose rows stay as they are.

    Examples:
        >>> with_known_classes(torch.tensor([[0.4, 0.6], [0.4, 0.6]]), torch.tensor([-1, 0]))
        tensor([[0.4000, 0.6000],
                [1.0000, 0.0000]])
    """
    certain = F.one_hot(labels.clamp(min=0), probs.shape[1]).to(probs)
    return certain.where(labels[:, None] >= 0, probs)


def known_classes(probs: Tensor, least_certainty: float) -> Tensor:
    """Most probable class of each sample, or -1 where it is too doubtful.

    For a target that may hold classes which the source lacks: their samples are to be rejected as unknown. Train with
    `Recipe.without("confusion")` then: minimum class confusion makes every target sample certain of a class of the
    source, unknown ones too.

    Args:
        probs: q, shape (N, K), 0..1, rows that sum to 1, as `class_probs` gives them.
        least_certainty: 0..1, see `certainty`; 0 rejects none.

    Returns:
        int64, shape (N,), 0..K-1 or -1.

    Raises:
        ValueError: probs of another number of axes, or least_certainty out of range.

    Examples:
        >>> known_classes(torch.tensor([[0.99, 0.01], [0.6, 0.4]]), least_certainty=0.5)
        tensor([ 0, -1])
    """
    check_shape(probs, ("N", "K"), "probs")
    check_fractions(least_certainty=least_certainty)
    return probs.argmax(1).masked_fill(certainty(probs) < least_certainty, -1)
