"""A loss of logits, averaged over several classifiers."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn


class OverClassifiers(nn.Module):
    """Averages a loss of logits over classifiers; for a single classifier it is the loss itself.

    Args:
        loss_fn: takes logits, shape (N, K), and returns a scalar, such as upstream's `MCCLoss`.

    Raises:
        ValueError: at a call, an empty sequence.

    Examples:
        >>> import torch
        >>> OverClassifiers(torch.sum)([torch.ones(1, 2), torch.zeros(1, 2)])
        tensor(1.)
    """

    def __init__(self, loss_fn: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.loss_fn = loss_fn

    def forward(self, logits: Tensor | Sequence[Tensor]) -> Tensor:
        """Returns the loss of logits, shape (N, K), or the mean loss of a sequence of such tensors (MCD, SymNets)."""
        if isinstance(logits, Tensor):
            return self.loss_fn(logits)
        if not logits:
            raise ValueError("logits must be those of at least one classifier, got none")
        losses = [self.loss_fn(one) for one in logits]
        return losses[0] if len(losses) == 1 else sum(losses[1:], losses[0]) / len(losses)
