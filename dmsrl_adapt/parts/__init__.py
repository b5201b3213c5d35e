"""Parts of a recipe: each file holds everything about one ingredient of the method."""

from .known_target_labels import KnownTargetLabels
from .margin import CenterMargin, CosineMargin, MarginDisparity
from .minimum_class_confusion import MinimumClassConfusion
from .mutual_information import ConditionalMI, MarginalMI, TwoBranchMI
from .part import Part, Sizes
from .pseudo_labels import ArgmaxLabels, PrototypeLabels
from .source_augmentation import SourceAugmentation
from .source_classification import SourceClassification
from .target_consistency import TargetConsistency

__all__ = [
    "ArgmaxLabels",
    "CenterMargin",
    "ConditionalMI",
    "CosineMargin",
    "KnownTargetLabels",
    "MarginDisparity",
    "MarginalMI",
    "MinimumClassConfusion",
    "Part",
    "PrototypeLabels",
    "Sizes",
    "SourceAugmentation",
    "SourceClassification",
    "TargetConsistency",
    "TwoBranchMI",
]
