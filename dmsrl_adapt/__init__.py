"""Deep margin-sensitive representation learning (DMSRL) as composable hooks for pytorch-adapt."""

from typing import TYPE_CHECKING, Any

from .adapter import DMSRL
from .attach import attach_dmsrl
from .attached_hook import AttachedHook
from .backbones import FrozenMaps, MultiLevelBackbone, align_faces, face_landmarks, frozen_maps
from .components import dmsrl_components
from .dmsrl_hook import DMSRLHook
from .hooks import (
    AugmentHook,
    BackboneHook,
    ConsistencyHook,
    KnownTargetLabelsHook,
    LevelFeaturesHook,
    MarginDisparityHook,
    MarginMetricHook,
    MIMinimizationHook,
    ProgressHook,
    PseudoLabelHook,
    SourceAccuracyHook,
    TargetClassificationHook,
    TwoBranchMIHook,
    WarmUpHook,
)
from .labelers import PrototypeLabeler
from .losses import MarginMetricLoss
from .recipe import DEFAULT, PUBLISHED, Recipe
from .training import Checkpoints
from .version import __version__

if TYPE_CHECKING:
    from .trainer import Model, train

LAZY = ("Model", "train")  # of the trainer, which imports more than a plugin should

__all__ = [
    "DEFAULT",
    "DMSRL",
    "PUBLISHED",
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
    "MarginDisparityHook",
    "MarginMetricHook",
    "MarginMetricLoss",
    "Model",
    "MultiLevelBackbone",
    "ProgressHook",
    "PrototypeLabeler",
    "PseudoLabelHook",
    "Recipe",
    "SourceAccuracyHook",
    "TargetClassificationHook",
    "TwoBranchMIHook",
    "WarmUpHook",
    "__version__",
    "align_faces",
    "attach_dmsrl",
    "dmsrl_components",
    "face_landmarks",
    "frozen_maps",
    "train",
]


def __getattr__(name: str) -> Any:
    """Returns a name of the trainer at its first use."""
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from . import trainer
    except ModuleNotFoundError as error:
        raise ImportError(f"dmsrl_adapt.{name} needs {error.name}: pip install 'dmsrl-adapt[train]'") from error
    return getattr(trainer, name)
