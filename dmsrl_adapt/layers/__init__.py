"""The mathematics: functions of tensors, and modules that hold constants and state."""

from .adversarial_mi_loss import AdversarialMILoss
from .argmax_labeler import ArgmaxLabeler
from .class_probs import class_probs, faded_by_doubt
from .club_loss import CLUBLoss, CLUBLosses
from .cosine_margin_loss import CosineMarginLoss
from .domain_branch import DomainBranch, DomainSensitive
from .faiss_search import nearest
from .margin_metric_loss import MarginMetricLoss
from .multi_level_backbone import MultiLevelBackbone
from .prototype_labeler import PrototypeLabeler
from .pseudo_labels import PseudoLabels
from .random_convolution import RandomConvolution
from .running_statistics import kept_running_statistics
from .training_progress import TrainingProgress, ramp

__all__ = [
    "AdversarialMILoss",
    "ArgmaxLabeler",
    "CLUBLoss",
    "CLUBLosses",
    "CosineMarginLoss",
    "DomainBranch",
    "DomainSensitive",
    "MarginMetricLoss",
    "MultiLevelBackbone",
    "PrototypeLabeler",
    "PseudoLabels",
    "RandomConvolution",
    "TrainingProgress",
    "class_probs",
    "faded_by_doubt",
    "kept_running_statistics",
    "nearest",
    "ramp",
]
