"""Deep margin-sensitive representation learning (DMSRL) as composable hooks for pytorch-adapt."""

from .adapter import DMSRL
from .attach import attach_dmsrl
from .checkpoints import Checkpoints
from .components import dmsrl_components
from .face_landmarks import align_faces, face_landmarks
from .frozen_maps import FrozenMaps, frozen_maps
from .hooks import (
    AttachedHook,
    DMSRLHook,
    LevelFeaturesHook,
    MarginMetricHook,
    MIMinimizationHook,
    ProgressHook,
    PseudoLabelHook,
    RampHook,
    RandomStyleHook,
    SourceSkillHook,
    StyledFeaturesHook,
    TargetLabelsHook,
    TwoBranchMIHook,
    ViewConsistencyHook,
)
from .layers import MarginMetricLoss, MultiLevelBackbone, PrototypeLabeler
from .recipes import Recipe
from .version import __version__

__all__ = [
    "DMSRL",
    "AttachedHook",
    "Checkpoints",
    "DMSRLHook",
    "FrozenMaps",
    "LevelFeaturesHook",
    "MIMinimizationHook",
    "MarginMetricHook",
    "MarginMetricLoss",
    "MultiLevelBackbone",
    "ProgressHook",
    "PrototypeLabeler",
    "PseudoLabelHook",
    "RampHook",
    "RandomStyleHook",
    "Recipe",
    "SourceSkillHook",
    "StyledFeaturesHook",
    "TargetLabelsHook",
    "TwoBranchMIHook",
    "ViewConsistencyHook",
    "__version__",
    "align_faces",
    "attach_dmsrl",
    "dmsrl_components",
    "face_landmarks",
    "frozen_maps",
]
