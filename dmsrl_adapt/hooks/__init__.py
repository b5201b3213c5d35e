"""The wiring: hooks read keys, call one layer, write keys."""

from .dmsrl import DMSRLHook
from .level_features import LevelFeaturesHook
from .margin_metric import MarginMetricHook
from .mi_minimization import MIMinimizationHook
from .progress import ProgressHook
from .pseudo_label import PseudoLabelHook
from .random_style import RandomStyleHook

__all__ = [
    "DMSRLHook",
    "LevelFeaturesHook",
    "MIMinimizationHook",
    "MarginMetricHook",
    "ProgressHook",
    "PseudoLabelHook",
    "RandomStyleHook",
]
