"""The wiring: hooks read keys, call one layer, write keys."""

from .attached import AttachedHook
from .augment import AugmentHook
from .backbone import BackboneHook
from .collapse import CollapseHook
from .consistency import ConsistencyHook
from .dmsrl import DMSRLHook
from .fixed_networks import FixedNetworksHook
from .known_target_labels import KnownTargetLabelsHook
from .level_features import LevelFeaturesHook
from .margin_metric import MarginMetricHook
from .mi_minimization import MIMinimizationHook
from .progress import ProgressHook
from .pseudo_label import PseudoLabelHook
from .source_accuracy import SourceAccuracyHook
from .two_branch_mi import TwoBranchMIHook
from .warm_up import WarmUpHook

__all__ = [
    "AttachedHook",
    "AugmentHook",
    "BackboneHook",
    "CollapseHook",
    "ConsistencyHook",
    "DMSRLHook",
    "FixedNetworksHook",
    "KnownTargetLabelsHook",
    "LevelFeaturesHook",
    "MIMinimizationHook",
    "MarginMetricHook",
    "ProgressHook",
    "PseudoLabelHook",
    "SourceAccuracyHook",
    "TwoBranchMIHook",
    "WarmUpHook",
]
