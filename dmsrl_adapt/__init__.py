"""Deep margin-sensitive representation learning (DMSRL) as composable hooks for pytorch-adapt."""

from .adapter import DMSRL
from .attach import attach_dmsrl
from .backbones import MultiLevelBackbone
from .backbones.face_landmarks import align_faces, face_landmarks
from .backbones.frozen_maps import FrozenMaps, frozen_maps
from .components import dmsrl_components
from .hooks import (
    AttachedHook,
    AugmentHook,
    BackboneHook,
    ConsistencyHook,
    DMSRLHook,
    KnownTargetLabelsHook,
    LevelFeaturesHook,
    MarginMetricHook,
    MIMinimizationHook,
    ProgressHook,
    PseudoLabelHook,
    SourceAccuracyHook,
    TwoBranchMIHook,
    WarmUpHook,
)
from .labelers import PrototypeLabeler
from .losses import MarginMetricLoss
from .recipe import Recipe
from .training.checkpoints import Checkpoints
from .version import __version__

__all__ = [
    "DMSRL",
    "AttachedHook",
    "AugmentHook",
    "BackboneHook",
    "Checkpoints",
    "ConsistencyHook",
    "DMSRLHook",
    "FrozenMaps",
    "KnownTargetLabelsHook",
    "LevelFeaturesHook",
    "MIMinimizationHook",
    "MarginMetricHook",
    "MarginMetricLoss",
    "MultiLevelBackbone",
    "ProgressHook",
    "PrototypeLabeler",
    "PseudoLabelHook",
    "Recipe",
    "SourceAccuracyHook",
    "TwoBranchMIHook",
    "WarmUpHook",
    "__version__",
    "align_faces",
    "attach_dmsrl",
    "dmsrl_components",
    "face_landmarks",
    "frozen_maps",
]
