"""Warm-up factors: from 0 to 1 over training."""

from enum import Enum

import torch


class WarmUp(str, Enum):
    r"""Warm-up schedule of a weight. Call it with the training progress p, 0..1, for the factor.

    |name|factor|
    |---|---|
    |`"none"`|1|
    |`"linear"`|$p$|
    |`"sigmoid"`|$2 / (1 + e^{-10 p}) - 1$, as in DANN|

    Parts and hooks accept a member or its name.

    Reference:
        Ganin et al., JMLR 2016, arXiv 1505.07818, for the sigmoid.

    Examples:
        >>> WarmUp("linear")(0.25), round(WarmUp.SIGMOID(0.25), 4)
        (0.25, 0.8483)
    """

    NONE = "none"
    LINEAR = "linear"
    SIGMOID = "sigmoid"

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise ValueError(f"warmup must be one of {[one.value for one in cls]}, got {value!r}")

    def __call__(self, progress: float) -> float:
        """Returns the factor, 0..1, at a training progress of 0..1."""
        if self is WarmUp.SIGMOID:
            return float(2 * torch.sigmoid(torch.tensor(10.0 * progress, dtype=torch.float64)) - 1)
        return progress if self is WarmUp.LINEAR else 1.0

    def __repr__(self) -> str:
        return repr(self.value)
