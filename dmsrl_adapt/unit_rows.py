"""Rows of unit length, with a short backward pass."""

from typing import Any

import torch
from torch import Tensor

EPS = 1e-12  # least length by which a row is divided, as in `torch.nn.functional.normalize`


class UnitRows(torch.autograd.Function):
    """Division of each row by its length; it can be differentiated once."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        """Returns the unit rows."""
        lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=EPS)
        units = rows / lengths
        ctx.save_for_backward(units, lengths)
        return units

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Returns the part of the gradient that is orthogonal to the row, over its length."""
        units, lengths = ctx.saved_tensors
        along = (units * grads[0]).sum(1, keepdim=True)
        return torch.addcmul(grads[0], along, units, value=-1) / lengths


def unit_rows(rows: Tensor) -> Tensor:
    """Returns rows of unit length, shape (N, D); a zero row stays zero.

    It is `torch.nn.functional.normalize` of rows. Its gradient takes 4 operations, not 15, and has none itself.

    Args:
        rows: shape (N, D), floating point.

    Examples:
        >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    units: Tensor = UnitRows.apply(rows)
    return units
