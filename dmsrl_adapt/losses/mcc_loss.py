"""Minimum class confusion that stays finite."""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_adapt.layers import EntropyWeights, MCCLoss
from pytorch_adapt.layers.normalizers import SumNormalizer
from torch import Tensor

from ..checks import check_floating, check_has_values
from ..processes import is_shared, rows_of_all_processes, summed_over_processes

LOWEST = 30.0  # e^-30 of a class is nothing beside another, and its square is no zero yet in float32


class MinimumClassConfusionLoss(MCCLoss):
    """Upstream's `MCCLoss`, to the last bit where no class is below e^-30 times the most probable one.

    Upstream divides by the probability mass that a batch gives a class, which rounds to 0 for a class that is never
    predicted; its loss is NaN then, and so are all weights after the step. It runs in float32 under autocast. In a
    process group the confusion, K x K numbers, is that of all processes, as if one had all samples. An
    `entropy_weighter` of one's own may look at the whole batch: it is called with the class probabilities of all
    processes, which are then exchanged too.

    Args:
        T: softmax temperature, above 0; 2.5 in the paper.
        entropy_weighter: takes class probabilities, shape (N, K), N at least 1, without a gradient, and returns the
            weights of the samples, N numbers. None for upstream's, by entropy.

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
        """Returns the loss of target logits, shape (N, K), 0 with a gradient where no sample has a weight above 0.

        Raises:
            ValueError: another shape, or a tensor without values (meta).
            TypeError: no floating point tensor.
        """
        check_floating(x, "logits", "N", "K")
        check_has_values(x, "logits")
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            x = torch.maximum(x, x.detach().amax(1, keepdim=True) - LOWEST * self.T)
            probs = (x / self.T).softmax(1)
            confusion = (probs * self._weights(probs.detach()).view(-1, 1)).t() @ probs
            if is_shared():
                confusion = SumOfAll.apply(confusion)
            mass = confusion.sum(1)
            confusion = confusion / mass.where(mass > 0, 1.0)
            return (confusion.sum() - confusion.trace()) / len(confusion)

    def _weights(self, probs: Tensor) -> Tensor:
        """Weights of this process's samples, up to a factor that is the same for the samples of all processes."""
        if is_shared() and is_entropy_over_sum(self.entropy_weighter):
            return 1 + torch.exp(-torch.special.entr(probs).sum(1))
        of_all, own = rows_of_all_processes(probs)
        weights: Tensor = self.entropy_weighter(of_all)[own] if len(of_all) else probs.new_zeros(0)
        return weights


def is_entropy_over_sum(weighter: Any) -> bool:
    """Whether a weighter is upstream's default but for a factor: in it nothing but the factor depends on the batch."""
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
