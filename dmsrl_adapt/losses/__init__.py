"""Losses: functions of tensors, and modules that hold their constants and state."""

from .adversarial_mi_loss import AdversarialMILoss, class_domain_cross_entropy, domain_cross_entropy
from .class_balance import ClassBalance, class_balance
from .class_probs import certainty, class_probs, known_classes
from .club_loss import CLUBLoss, CLUBLosses, club_bound, gaussian_negative_log_likelihood
from .consistency_loss import consistency_loss
from .cosine_margin_loss import CosineMarginLoss, cosine_margin_logits
from .domain_branch import DomainBranch, DomainSensitive
from .labelled_cross_entropy import labelled_cross_entropy
from .margin_disparity_loss import MarginDisparityLoss, margin_disparity
from .margin_metric_loss import MarginMetricLoss, center_gap, center_pull, center_spread
from .mcc_loss import MinimumClassConfusionLoss
from .over_classifiers import OverClassifiers

__all__ = [
    "AdversarialMILoss",
    "CLUBLoss",
    "CLUBLosses",
    "ClassBalance",
    "CosineMarginLoss",
    "DomainBranch",
    "DomainSensitive",
    "MarginDisparityLoss",
    "MarginMetricLoss",
    "MinimumClassConfusionLoss",
    "OverClassifiers",
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
    "known_classes",
    "labelled_cross_entropy",
    "margin_disparity",
]
