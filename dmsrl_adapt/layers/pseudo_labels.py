"""What a labeller gives back."""

from typing import NamedTuple

from torch import Tensor


class PseudoLabels(NamedTuple):
    """Labels of a batch of target samples, all of length N on the features' device.

    labels: int64, 0..K-1, or -1 for a sample that is rejected.
    weights: float32, 0..1, trust in the label; 0 for a rejected sample.
    """

    labels: Tensor
    weights: Tensor
