"""One-hot rows, with which sums over classes or domains are matrix products of a fixed shape."""

import torch
from torch import Tensor


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Returns whether each sample is of each class, bool (N, K); a row of False for a label out of 0..K-1.

    `torch.nn.functional.one_hot` refuses a label of -1.

    Args:
        labels: shape (N,), integer.
        num_classes: K.

    Examples:
        >>> one_hot(torch.tensor([1, -1]), 2)
        tensor([[False,  True],
                [False, False]])
    """
    return labels[:, None] == torch.arange(num_classes, device=labels.device)


def sums_by_label(rows: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Returns the sum of the rows of each label, shape (K, D), in the dtype of the rows also under autocast.

    Args:
        rows: shape (N, D), floating point, finite.
        labels: shape (N,), integer; rows with a label out of 0..K-1 are left out.
        num_classes: K.

    Examples:
        >>> sums_by_label(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0, 0, -1]), 2)
        tensor([[3.],
                [0.]])
    """
    with torch.autocast(rows.device.type, enabled=False):
        return one_hot(labels, num_classes).to(rows).t() @ rows
