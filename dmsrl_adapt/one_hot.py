"""One-hot rows, with which sums over classes or domains are matrix products of a fixed shape."""

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=64)
def numbers_below(count: int, device: torch.device) -> Tensor:
    """Returns 0..count-1 as a column, shape (count, 1), int64. It is a constant: do not change it in place."""
    return torch.arange(count, device=device)[:, None]


def members(labels: Tensor, num_classes: int) -> Tensor:
    """Returns for each class whether each sample is of it, bool (K, N); False for a label out of 0..K-1.

    Args:
        labels: shape (N,), integer.
        num_classes: K.

    Examples:
        >>> members(torch.tensor([1, -1]), 2)
        tensor([[False, False],
                [ True, False]])
    """
    return numbers_below(num_classes, labels.device) == labels


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
        return members(labels, num_classes).to(rows) @ rows
