"""Normalisation layers that learn nothing from a batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def kept_running_statistics(module: nn.Module) -> Iterator[None]:
    """Leaves the running statistics inside `module` as they are; in training mode batches are normalised as ever.

    Only the forward pass counts: activation checkpointing repeats it during backward, and then moves them.

    Args:
        module: with batch or instance normalisation of any kind inside, wrapped for distributed training or not; one
            without is left alone. What is in evaluation mode goes on using its running statistics.

    Example:
        >>> import torch
        >>> norm = nn.BatchNorm1d(2)
        >>> with kept_running_statistics(norm):
        ...     normalised = norm(torch.ones(4, 2))
        >>> norm.running_mean
        tensor([0., 0.])
    """
    parts: list[Any] = [part for part in module.modules() if part.training]
    tracking = [(part, part.momentum) for part in parts if getattr(part, "track_running_stats", False)]
    for part, _ in tracking:
        # batch normalisation looks at the first alone, instance normalisation in training mode at the second
        part.track_running_stats, part.momentum = False, 0.0
    try:
        yield
    finally:
        for part, momentum in tracking:
            part.track_running_stats, part.momentum = True, momentum
