"""Hooks: each reads keys of the context, calls one layer and writes keys."""

from .augment import AugmentHook
from .backbone import BackboneHook
from .collapse import CollapseHook
from .consistency import ConsistencyHook
from .fixed_networks import FixedNetworksHook
from .known_target_labels import KnownTargetLabelsHook
from .level_features import LevelFeaturesHook
from .margin_disparity import MarginDisparityHook
from .margin_metric import MarginMetricHook
from .mi_minimization import MIMinimizationHook
from .progress import ProgressHook
from .pseudo_label import PseudoLabelHook
from .source_accuracy import SourceAccuracyHook
from .target_classification import TargetClassificationHook
from .two_branch_mi import TwoBranchMIHook
from .warm_up import WarmUpHook

__all__ = [
    "AugmentHook",
    "BackboneHook",
    "CollapseHook",
    "ConsistencyHook",
    "FixedNetworksHook",
    "KnownTargetLabelsHook",
    "LevelFeaturesHook",
    "MIMinimizationHook",
    "MarginDisparityHook",
    "MarginMetricHook",
    "ProgressHook",
    "PseudoLabelHook",
    "SourceAccuracyHook",
    "TargetClassificationHook",
    "TwoBranchMIHook",
    "WarmUpHook",
]
