"""Random draws on the host, for shapes that must not depend on values on a device."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def drawn_rows(size: int, probability: float) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    """Returns which of `size` rows are drawn, each with this probability: ascending indices.

    Examples:
        >>> drawn_rows(3, 1.0)
        array([0, 1, 2])
    """
    return np.flatnonzero(uniform(size) < probability).astype(np.int64)


def drawn_number(count: int) -> int:
    """Returns a number 0..count-1."""
    return int(torch.randint(count, (1,), device="cpu").numpy()[0])


def uniform(*shape: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """Returns random numbers, uniform in 0..1, by torch's generator of the CPU, in a numpy array.

    Few numbers are transformed faster by numpy than by torch.
    """
    drawn: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = torch.rand(
        shape, dtype=torch.float32, device="cpu"
    ).numpy()
    return drawn


def on_device(array: "np.ndarray[Any, Any]", like: Tensor) -> Tensor:
    """Returns an array as a tensor on the device of another one, without a wait."""
    return torch.from_numpy(array).to(like.device, non_blocking=True)
