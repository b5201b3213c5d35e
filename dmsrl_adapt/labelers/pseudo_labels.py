"""What a labeller gives back."""

from typing import NamedTuple

from torch import Tensor


class PseudoLabels(NamedTuple):
    """Labels of a batch of target samples, all of length N on the features' device.

    labels: int64, 0..K-1, or -1 for a sample that is rejected.
    weights: float32, 0..1, trust in the label; 0 for a rejected sample.
    distances: float32, at least 0, how far the sample is from the nearest class, whether it is rejected or not: 1 - cos
        or squared feature units as `PrototypeLabeler`'s metric says, infinite before every class is seen; 1 - p for
        `ArgmaxLabeler`.
    """

    labels: Tensor
    weights: Tensor
    distances: Tensor
