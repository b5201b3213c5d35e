"""State of a training run: progress and warm-up, source accuracy, signs of collapse, checkpoints."""

from .checkpoints import Checkpoints
from .collapse_watch import CollapseWatch
from .source_accuracy import SourceAccuracy
from .training_progress import TrainingProgress
from .warm_up import WarmUp

__all__ = [
    "Checkpoints",
    "CollapseWatch",
    "SourceAccuracy",
    "TrainingProgress",
    "WarmUp",
]
