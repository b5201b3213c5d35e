"""Training progress as a module, so that warm-ups resume from checkpoints."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import check_sizes

DEFAULT_TOTAL_STEPS = 1000


class TrainingProgress(nn.Module):
    """Counts finished training steps in a buffer. Call it for the progress, 0..1.

    It belongs in `misc`, so that checkpoints save it and a resumed run continues with its progress. The length of the
    run is `total_steps`, or for None the length proposed by the framework wrapper (upstream's Ignite,
    `LightningAdapter`). A given, set or proposed length has precedence over that of a checkpoint, of which only the
    step is then loaded: a second, longer run continues at step / total_steps. Otherwise the length is that of the
    checkpoint, or 1,000 steps by default. After the last step the progress stays at 1; if the length was neither given
    nor proposed, a warning is raised once.

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
        self.is_proposed = self.has_warned = False
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_buffer("total_steps", torch.ones((), dtype=torch.int64))
        self._fill(DEFAULT_TOTAL_STEPS if total_steps is None else total_steps)

    def set_total_steps(self, total_steps: int) -> None:
        """Sets the length of the run, like the constructor. Raises `ValueError` below 1."""
        self._fill(total_steps)
        self.is_given = True

    def propose_total_steps(self, total_steps: int) -> None:
        """Sets the length of the run, unless the user has. Raises `ValueError` below 1."""
        if not self.is_given:
            self._fill(total_steps)
            self.is_proposed = True

    def advance(self) -> None:
        """Counts one finished step."""
        self.step += 1

    def forward(self) -> float:
        """Returns the fraction of the run that is done, 0..1."""
        step, total_steps = self.step.item(), self.total_steps.item()
        if step >= total_steps:
            self._warn(int(total_steps))
        return min(step / total_steps, 1.0)

    def _fill(self, total_steps: int) -> None:
        check_sizes(total_steps=total_steps)
        self.total_steps.fill_(total_steps)

    def _warn(self, total_steps: int) -> None:
        """Warns once that a length that was neither given nor proposed is over."""
        if self.is_given or self.is_proposed or self.has_warned:
            return
        self.has_warned = True
        is_default = total_steps == DEFAULT_TOTAL_STEPS
        length = "and defaults to 1,000 steps" if is_default else f"but the {total_steps:,} steps of its checkpoint"
        warnings.warn(
            f"TrainingProgress has no length {length}, which are over: warm-ups stay at full strength. "
            "Pass total_steps=...",
            stacklevel=4,
        )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        key = f"{prefix}total_steps"
        if key in state_dict and (self.is_given or self.is_proposed):
            state_dict = {**state_dict, key: self.total_steps}
        super()._load_from_state_dict(state_dict, prefix, *args)
