"""Cross entropy of those samples whose class is known."""

import torch
from torch import Tensor

from ..checks import check_labels, check_shape


def labelled_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy in nats over the samples that have a label; 0 with a gradient where none has.

    Args:
        logits: shape (N, K), floating point; float32 under autocast.
        labels: shape (N,), integer, class 0..K-1, or -1 for a sample without a label.
        label_smoothing: share of a label spread over all classes, 0..1.

    Raises:
        ValueError: wrong shape or value out of range.
        TypeError: labels that are not integers.

    Examples:
        >>> labelled_cross_entropy(torch.zeros(3, 2), torch.tensor([-1, 1, -1]))
        tensor(0.6931)
    """
    check_shape(logits, ("N", "K"), "logits")
    labels = check_labels(labels, len(logits), logits.shape[1], lowest=-1)
    sum_of = torch.nn.CrossEntropyLoss(reduction="sum", ignore_index=-1, label_smoothing=label_smoothing)
    return sum_of(logits.float(), labels) / (labels >= 0).sum().clamp(min=1)
