"""Cross entropy of the samples that have a label."""

import torch
from torch import Tensor

from ..checks import check_labels, check_shape


def labelled_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Returns the mean cross entropy over the samples that have a label, in nats; 0 with a gradient if none has.

    Args:
        logits: shape (N, K), floating point; computed in float32.
        labels: shape (N,), integer, class 0..K-1, or -1 for a sample without a label.
        label_smoothing: fraction of a label that is spread over all classes, 0..1.

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
