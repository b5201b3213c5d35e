"""Training of a model on two data sets, and what the model then gives: predictions, files for deployment, a report.

It needs the packages of the extra `train`.
"""

from .model import Model
from .predictions import Predictions
from .training_call import Run, train

__all__ = ["Model", "Predictions", "Run", "train"]
