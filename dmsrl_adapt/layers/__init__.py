"""The mathematics: functions of tensors, and modules that hold constants and state."""

from .adversarial_mi_loss import AdversarialMILoss
from .argmax_labeler import ArgmaxLabeler
from .class_balance import ClassBalance
from .class_probs import certainty, class_probs, faded_by_doubt, known_classes
from .club_loss import CLUBLoss, CLUBLosses
from .collapse_watch import CollapseWatch
from .confusion_loss import ConfusionLoss
from .consistency_loss import consistency_loss
from .cosine_margin_loss import CosineMarginLoss
from .domain_branch import DomainBranch, DomainSensitive
from .faiss_search import nearest
from .labelled_cross_entropy import labelled_cross_entropy
from .local_windows import LocalWindows
from .map_pool import MapPool
from .map_trunk import NamedLayers
from .margin_metric_loss import MarginMetricLoss
from .multi_level_backbone import MultiLevelBackbone
from .over_classifiers import OverClassifiers
from .prototype_labeler import PrototypeLabeler
from .pseudo_labels import PseudoLabels
from .random_affine import RandomAffine
from .random_convolution import RandomConvolution
from .source_skill import SourceSkill
from .stored_maps import StoredMaps
from .training_progress import TrainingProgress, ramp

__all__ = [
    "AdversarialMILoss",
    "ArgmaxLabeler",
    "CLUBLoss",
    "CLUBLosses",
    "ClassBalance",
    "CollapseWatch",
    "ConfusionLoss",
    "CosineMarginLoss",
    "DomainBranch",
    "DomainSensitive",
    "LocalWindows",
    "MapPool",
    "MarginMetricLoss",
    "MultiLevelBackbone",
    "NamedLayers",
    "OverClassifiers",
    "PrototypeLabeler",
    "PseudoLabels",
    "RandomAffine",
    "RandomConvolution",
    "SourceSkill",
    "StoredMaps",
    "TrainingProgress",
    "certainty",
    "class_probs",
    "consistency_loss",
    "faded_by_doubt",
    "known_classes",
    "labelled_cross_entropy",
    "nearest",
    "ramp",
]
