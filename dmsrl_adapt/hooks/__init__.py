"""The wiring: hooks read keys, call one layer, write keys."""

from .attached import AttachedHook
from .collapse import CollapseHook
from .dmsrl import DMSRLHook
from .fixed_networks import FixedNetworksHook
from .level_features import LevelFeaturesHook
from .margin_metric import MarginMetricHook
from .mi_minimization import MIMinimizationHook
from .progress import ProgressHook
from .pseudo_label import PseudoLabelHook
from .ramp import RampHook
from .random_style import RandomStyleHook
from .source_skill import SourceSkillHook
from .styled_features import StyledFeaturesHook
from .target_labels import TargetLabelsHook
from .two_branch_mi import TwoBranchMIHook
from .view_consistency import ViewConsistencyHook

__all__ = [
    "AttachedHook",
    "CollapseHook",
    "DMSRLHook",
    "FixedNetworksHook",
    "LevelFeaturesHook",
    "MIMinimizationHook",
    "MarginMetricHook",
    "ProgressHook",
    "PseudoLabelHook",
    "RampHook",
    "RandomStyleHook",
    "SourceSkillHook",
    "StyledFeaturesHook",
    "TargetLabelsHook",
    "TwoBranchMIHook",
    "ViewConsistencyHook",
]
