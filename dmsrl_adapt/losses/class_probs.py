"""Class probabilities of one classifier or of several, and their certainty."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..checks import check_fractions, check_shape
from ..one_hot import members


def class_probs(logits: Tensor | Sequence[Tensor]) -> Tensor:
    """Returns class probabilities, shape (N, K), float32, without a gradient.

    Args:
        logits: shape (N, K), or a sequence of such tensors, one per classifier (MCD, SymNets), whose probabilities are
            averaged.

    Raises:
        ValueError: wrong shape, or an empty sequence.

    Examples:
        >>> class_probs([torch.zeros(1, 2), torch.zeros(1, 2)])
        tensor([[0.5000, 0.5000]])
    """
    several = [logits] if isinstance(logits, Tensor) else list(logits)
    if not several or any(not isinstance(one, Tensor) or one.ndim != 2 for one in several):
        came = [tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__ for one in several]
        raise ValueError(f"logits must have shape (N, K), got {came}")
    with torch.no_grad():
        probs = [one.float().softmax(1) for one in several]
        return probs[0] if len(probs) == 1 else torch.stack(probs).mean(0)


def certainty(probs: Tensor) -> Tensor:
    """Returns the certainty of predictions, 1 - H(q) / log K, shape (N,), 0..1; 1 where there is one class.

    It is the weight of a sample in entropy conditioning: uniform predictions get 0.

    Args:
        probs: q, shape (N, K), 0..1, rows that sum to 1.

    Examples:
        >>> certainty(torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
        tensor([1., 0.])
    """
    most = math.log(max(probs.shape[1], 2))
    return (1 - torch.special.entr(probs).sum(1) / most).clamp(0, 1)


def with_known_classes(probs: Tensor, labels: Tensor) -> Tensor:
    """Returns `probs` with one-hot rows for the samples whose class is known.

    Args:
        probs: shape (N, K), floating point.
        labels: shape (N,), int64, 0..K-1, or -1 where the class is not known; these rows are left as they are.

    Examples:
        >>> with_known_classes(torch.tensor([[0.4, 0.6], [0.4, 0.6]]), torch.tensor([-1, 0]))
        tensor([[0.4000, 0.6000],
                [1.0000, 0.0000]])
    """
    return members(labels, probs.shape[1]).t().to(probs).where(labels[:, None] >= 0, probs)


def known_classes(probs: Tensor, least_certainty: float) -> Tensor:
    """Returns the most probable class of each sample, or -1 where its certainty is below `least_certainty`.

    For open-set targets: samples of classes that the source lacks are rejected as unknown. Train with
    `DEFAULT.without("mcc")` then, because minimum class confusion makes the predictions of unknown samples certain too.

    Args:
        probs: q, shape (N, K), 0..1, rows that sum to 1, as returned by `class_probs`.
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
