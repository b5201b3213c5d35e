"""Learning rate over a run: a warm-up, then half a cosine."""

import math


class CosineSchedule:
    """Factor on the learning rate, for `torch.optim.lr_scheduler.LambdaLR`: half a cosine from 1 to `last`.

    Args:
        steps: of the run.
        warm_up: first steps, over which the factor also rises linearly from near 0.
        last: factor at the end, 0..1.

    Examples:
        >>> schedule = CosineSchedule(steps=100, warm_up=2, last=0.0)
        >>> [round(schedule(step), 2) for step in (0, 1, 2, 50, 100)]
        [0.33, 0.67, 1.0, 0.5, 0.0]
    """

    def __init__(self, steps: int, warm_up: int = 0, last: float = 0.05) -> None:
        self.steps, self.warm_up, self.last = steps, warm_up, last

    def __call__(self, step: int) -> float:
        """Returns the factor at a step, counted from 0."""
        cosine = (1 + math.cos(math.pi * min(step / self.steps, 1))) / 2
        factor = self.last + (1 - self.last) * cosine
        return factor * (step + 1) / (self.warm_up + 1) if step < self.warm_up else factor
