"""Hook: training progress."""

from typing import Any

from pytorch_adapt.hooks.base import BaseHook

from .. import keys
from .context import read


class ProgressHook(BaseHook):
    """Writes the training progress, 0..1, for the warm-ups of later hooks. Put it in `pre=[...]`.

    A `progress` that is already in the context is kept. Without this hook and that key there is no warm-up: hooks work
    at full strength from the first step.

    Modules: `training_progress` (misc; `TrainingProgress`). Writes: `progress`. No losses.

    Args:
        advance: count the step immediately. `DMSRLHook` sets this to False and counts a step after it has succeeded.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Examples:
        >>> from dmsrl_adapt.training import TrainingProgress
        >>> hook, progress = ProgressHook(), TrainingProgress(total_steps=4)
        >>> [hook({"training_progress": progress})[0]["progress"] for _ in range(3)]
        [0.0, 0.25, 0.5]
    """

    def __init__(self, advance: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.advance = advance

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        if keys.PROGRESS in inputs:
            return {}, {}
        progress = read(self, inputs, keys.TRAINING_PROGRESS)
        value = progress()
        if self.advance:
            progress.advance()
        return {keys.PROGRESS: value}, {}

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        return [keys.PROGRESS]
