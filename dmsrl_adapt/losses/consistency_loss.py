"""Consistency regularisation: predictions for augmented images follow those for the images themselves."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from ..checks import check_class_probs, check_has_values
from .over_classifiers import OverClassifiers


def consistency_loss(logits: Tensor | Sequence[Tensor], class_probs: Tensor) -> Tensor:
    r"""Returns the confidence-weighted cross entropy of predictions for augmented images with soft targets, in nats.

    $$ \frac{1}{N} \sum_i \max_k q_{ik} \sum_k -q_{ik} \log p_{ik} $$

    q are the class probabilities of the images themselves, which get no gradient, and p those of the augmented images.
    The targets are soft because a hard label would make an early error permanent.

    Args:
        logits: of the augmented images, shape (N, K); or a sequence of such tensors, one per classifier (MCD), over
            which the loss is averaged.
        class_probs: q, shape (N, K), 0..1, rows that sum to 1.

    Returns:
        scalar in nats, float32 under autocast; 0 with a gradient on an empty batch.

    Raises:
        ValueError: wrong shape or value out of range.

    Reference:
        French et al., Self-ensembling for Visual Domain Adaptation, ICLR 2018, arXiv 1706.05208, and Sohn et al.,
        FixMatch, NeurIPS 2020, arXiv 2001.07685.

    Examples:
        >>> import torch
        >>> consistency_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
        tensor(0.6931)
    """
    several = [logits] if isinstance(logits, Tensor) else list(logits)
    shapes = [tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__ for one in (*several, class_probs)]
    if not several or not isinstance(class_probs, Tensor) or class_probs.ndim != 2 or len(set(shapes)) > 1:
        raise ValueError(f"logits and class_probs must have the same shape (N, K), got {shapes[:-1]} and {shapes[-1]}")
    for one in several:
        check_has_values(one, "logits")
    q = check_class_probs(class_probs, *class_probs.shape)
    targets = q * (q.amax(1, keepdim=True) / max(len(q), 1))
    if not len(q):  # the cross entropy would be -0
        return OverClassifiers(lambda one: one.float().sum())(logits)
    mean_loss = OverClassifiers(lambda one: F.cross_entropy(one.float(), targets, reduction="sum"))
    loss: Tensor = mean_loss(logits)
    return loss
