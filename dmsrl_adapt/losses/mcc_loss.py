"""Minimum class confusion (MCC), numerically stable."""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_adapt.layers import EntropyWeights, MCCLoss
from pytorch_adapt.layers.normalizers import SumNormalizer
from torch import Tensor

from ..checks import check_floating, check_has_values
from ..processes import is_shared, rows_of_all_processes, summed_over_processes

LOWEST = 30.0  # e^-30 is negligible as a probability ratio, and its square is not yet 0 in float32


class MinimumClassConfusionLoss(MCCLoss):
    """Upstream's `MCCLoss`, but finite for classes that are never predicted.

    Upstream divides by the probability mass of each class in the batch. It rounds to 0 for a class that is never
    predicted, and the loss becomes NaN. Here probabilities are at least e^-30 times the largest one of the sample, and
    the result is the same, up to rounding, if none is below. It runs in float32 under autocast. In a process group the
    K x K confusion matrix is summed over processes, as if one process had all samples. A custom `entropy_weighter` is
    called with the class probabilities of all processes, which are then exchanged too.

    Args:
        T: softmax temperature, above 0; 2.5 in the paper.
        entropy_weighter: takes class probabilities, shape (N, K), N at least 1, without a gradient, and returns N
            sample weights. None for upstream's entropy weights.

    Raises:
        ValueError: a temperature of 0 or below.

    Reference:
        Jin et al., Minimum Class Confusion for Versatile Domain Adaptation, ECCV 2020, arXiv 1912.03699.

    Examples:
        >>> MinimumClassConfusionLoss()(torch.tensor([[0.0, 1000.0], [0.0, 1000.0]])).isfinite()
        tensor(True)
    """

    def __init__(self, T: float = 1.0, entropy_weighter: Callable[[Tensor], Tensor] | None = None) -> None:
        if not T > 0:
            raise ValueError(f"T must be above 0, got {T}")
        super().__init__(T, entropy_weighter)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the loss of target logits, shape (N, K); 0 with a gradient if no sample has a weight above 0.

        Raises:
            ValueError: wrong shape, or a tensor without values (meta).
            TypeError: not a floating point tensor.
        """
        check_floating(x, "logits", "N", "K")
        check_has_values(x, "logits")
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            with torch.no_grad():
                lowest = x.amax(1, keepdim=True) - LOWEST * self.T
            probs = (x.clamp(min=lowest) / self.T).softmax(1)
            confusion = (probs * self._weights(probs.detach())).t() @ probs
            if is_shared():
                confusion = SumOfAll.apply(confusion)
            # of each class the share of its row that is on other classes
            mass = confusion.sum(1)
            shares: Tensor = (mass - confusion.diagonal()) / mass.clamp(min=torch.finfo(mass.dtype).tiny)
            return shares.mean()

    def _weights(self, probs: Tensor) -> Tensor:
        """Returns the weights of this process's samples, shape (N, 1), up to a factor common to all samples."""
        if is_entropy_over_sum(self.entropy_weighter):
            return 1 + torch.exp(-torch.special.entr(probs).sum(1, keepdim=True))
        of_all, own = rows_of_all_processes(probs)
        weights: Tensor = self.entropy_weighter(of_all)[own] if len(of_all) else probs.new_zeros(0)
        return weights.view(-1, 1)


def is_entropy_over_sum(weighter: Any) -> bool:
    """Returns whether a weighter is upstream's default, in which only a common factor depends on the whole batch."""
    is_of_entropy = type(weighter) is EntropyWeights and weighter.after_softmax
    return is_of_entropy and type(weighter.normalizer) is SumNormalizer


class SumOfAll(torch.autograd.Function):
    """Sum of a tensor over processes, with the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        """Returns the sum."""
        return summed_over_processes(tensor)[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Returns the sum of the processes' gradients."""
        return summed_over_processes(grads[0])[0]
