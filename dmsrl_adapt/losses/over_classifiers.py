"""A loss of one classifier's logits, for several classifiers too."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn


class OverClassifiers(nn.Module):
    """Mean over classifiers of a loss of their logits; for one classifier the loss itself.

    Args:
        loss_fn: takes logits, shape (N, K), and gives a scalar, as upstream's `MCCLoss`.

    Raises:
        ValueError: no logits at all.

    Examples:
        >>> import torch
        >>> OverClassifiers(torch.sum)([torch.ones(1, 2), torch.zeros(1, 2)])
        tensor(1.)
    """

    def __init__(self, loss_fn: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.loss_fn = loss_fn

    def forward(self, logits: Tensor | Sequence[Tensor]) -> Tensor:
        """Returns the loss of logits, shape (N, K), or of a sequence of such tensors (MCD, SymNets)."""
        if isinstance(logits, Tensor):
            return self.loss_fn(logits)
        if not logits:
            raise ValueError("logits must be those of at least one classifier, got none")
        losses = [self.loss_fn(one) for one in logits]
        return sum(losses[1:], losses[0]) / len(losses)
