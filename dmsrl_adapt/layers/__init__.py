"""The mathematics: functions of tensors, and modules that hold constants and state."""

from .adversarial_mi_loss import AdversarialMILoss, class_domain_cross_entropy, domain_cross_entropy
from .argmax_labeler import ArgmaxLabeler
from .class_balance import ClassBalance, class_balance
from .class_probs import certainty, class_probs, known_classes
from .club_loss import CLUBLoss, CLUBLosses, club_bound, gaussian_negative_log_likelihood
from .collapse_watch import CollapseWatch
from .confusion_loss import ConfusionLoss
from .consistency_loss import consistency_loss
from .cosine_margin_loss import CosineMarginLoss, cosine_margin_logits
from .domain_branch import DomainBranch, DomainSensitive
from .faiss_search import nearest
from .labelled_cross_entropy import labelled_cross_entropy
from .local_windows import LocalWindows
from .map_pool import MapPool, generalised_mean
from .map_trunk import NamedLayers
from .margin_metric_loss import MarginMetricLoss, center_gap, center_pull, center_spread
from .multi_level_backbone import MultiLevelBackbone
from .neighbour_memory import vote
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
    "center_gap",
    "center_pull",
    "center_spread",
    "certainty",
    "class_balance",
    "class_domain_cross_entropy",
    "class_probs",
    "club_bound",
    "consistency_loss",
    "cosine_margin_logits",
    "domain_cross_entropy",
    "gaussian_negative_log_likelihood",
    "generalised_mean",
    "known_classes",
    "labelled_cross_entropy",
    "nearest",
    "ramp",
    "vote",
]
