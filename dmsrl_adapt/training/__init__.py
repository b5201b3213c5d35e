"""What follows a run: progress, source accuracy, signs of collapse, checkpoints."""

from .checkpoints import Checkpoints
from .collapse_watch import CollapseWatch
from .source_accuracy import SourceAccuracy
from .training_progress import TrainingProgress, ramp

__all__ = [
    "Checkpoints",
    "CollapseWatch",
    "SourceAccuracy",
    "TrainingProgress",
    "ramp",
]
