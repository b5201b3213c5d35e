"""Output of a labeler, and known labels in its place."""

from typing import NamedTuple

from torch import Tensor


class PseudoLabels(NamedTuple):
    """Pseudo labels of a batch, each tensor of shape (N,) on the features' device.

    labels: int64, 0..K-1, or -1 for a rejected sample.
    weights: float32, 0..1, confidence in the label; 0 for a rejected sample.
    distances: float32, at least 0, distance to the nearest class, also for rejected samples: 1 - cos or squared feature
        units by the metric of `PrototypeLabeler`, infinite before every class is seen; 1 - p for `ArgmaxLabeler`.
    """

    labels: Tensor
    weights: Tensor
    distances: Tensor


def with_known(known: Tensor | None, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Returns labels and weights, shape (N,), with the known classes (-1 elsewhere) inserted with weight 1."""
    if known is None:
        return labels, weights
    is_known = known >= 0
    return known.where(is_known, labels), weights.masked_fill(is_known, 1.0)
