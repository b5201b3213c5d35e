"""Random draws on the host, for shapes that must not depend on values on a device."""

from typing import NamedTuple

import torch
from torch import Tensor


class Drawn(NamedTuple):
    """Rows that were drawn, on the CPU.

    rows: shape (n,), int64, ascending.
    draws: shape (n,), float32, the numbers by which they were drawn, uniform in 0..probability.
    """

    rows: Tensor
    draws: Tensor


def drawn_rows(size: int, probability: float) -> Drawn:
    """Returns which of `size` rows are drawn, each with this probability.

    Examples:
        >>> drawn_rows(3, 1.0).rows
        tensor([0, 1, 2])
    """
    draws = torch.rand(size, dtype=torch.float32, device="cpu")
    rows = (draws < probability).nonzero()[:, 0]
    return Drawn(rows, draws[rows])


def drawn_number(count: int) -> int:
    """Returns a number 0..count-1."""
    return int(torch.randint(count, (), device="cpu"))
