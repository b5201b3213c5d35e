"""Minimum class confusion that stays finite."""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_adapt.layers import MCCLoss
from torch import Tensor

from ..checks import check_floating, check_has_values
from ..processes import is_shared, summed_over_processes

LOWEST = 30.0  # e^-30 of a class is nothing beside another, and its square is no zero yet in float32


class MinimumClassConfusionLoss(MCCLoss):
    """Upstream's `MCCLoss`, to the last bit where no class is below e^-30 times the most probable one.

    Upstream divides by the probability mass that a batch gives a class, which rounds to 0 for a class that is never
    predicted; its loss is NaN then, and so are all weights after the step. It runs in float32 under autocast. In a
    process group the confusion, K x K numbers, is that of all processes, as if one had all samples.

    Args:
        T: softmax temperature, above 0; 2.5 in the paper.
        entropy_weighter: gives samples their weights from their class probabilities; None for upstream's, by entropy.

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
        """Returns the loss of target logits, shape (N, K), 0 with a gradient on an empty batch.

        Raises:
            ValueError: another shape, or a tensor without values (meta).
            TypeError: no floating point tensor.
        """
        check_floating(x, "logits", "N", "K")
        check_has_values(x, "logits")
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            x = torch.maximum(x, x.detach().amax(1, keepdim=True) - LOWEST * self.T)
            if is_shared():
                return self._of_all(x)
            loss: Tensor = super().forward(x) if len(x) else x.sum()
            return loss

    def _of_all(self, x: Tensor) -> Tensor:
        """Upstream's formula with the sums over the samples of all processes."""
        probs = (x / self.T).softmax(1)
        weights = 1 + torch.exp(-torch.special.entr(probs.detach()).sum(1, keepdim=True))
        confusion = SumOfAll.apply((probs * weights).t() @ probs)
        confusion = confusion / confusion.sum(1)
        return (confusion.sum() - confusion.trace()) / len(confusion)


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
