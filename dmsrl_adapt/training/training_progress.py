"""Training progress as a module, so that ramps go on where they were when a checkpoint is loaded."""

import torch
from torch import Tensor, nn

from ..checks import check_sizes

DEFAULT_TOTAL_STEPS = 1000


class TrainingProgress(nn.Module):
    """Counts finished training steps in a buffer and gives the progress 0..1. Call it for the progress.

    It belongs in `misc`: checkpoints save it, so a resumed run goes on with the progress it had. The length of the
    run is `total_steps`; where that is None, `DMSRL` under upstream's Ignite wrapper fills in the wrapper's number of
    iterations, and a plain loop that says nothing gets 1,000 steps, after which progress stays at 1.

    Args:
        total_steps: steps of the whole run, at least 1, or None.

    Examples:
        >>> progress = TrainingProgress(total_steps=4)
        >>> progress.advance()
        >>> progress()
        0.25
    """

    step: Tensor
    total_steps: Tensor

    def __init__(self, total_steps: int | None = None) -> None:
        super().__init__()
        self.is_given = total_steps is not None
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_buffer("total_steps", torch.ones((), dtype=torch.int64))
        self.set_total_steps(DEFAULT_TOTAL_STEPS if total_steps is None else total_steps)

    def set_total_steps(self, total_steps: int) -> None:
        """Sets the length of the run. Raises `ValueError` below 1."""
        check_sizes(total_steps=total_steps)
        self.total_steps.fill_(total_steps)

    def advance(self) -> None:
        """Counts one finished step."""
        self.step += 1

    def forward(self) -> float:
        """Returns the share of the run that is done, 0..1."""
        return min(self.step.item() / self.total_steps.item(), 1.0)
