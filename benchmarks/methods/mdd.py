"""MDD: margin disparity discrepancy (Zhang et al., ICML 2019, arXiv 1904.05801), without and with our augmentation.

They are our adapter with the margin part `MarginDisparity` alone, with the numbers of the paper.
"""

from dmsrl_adapt import Recipe
from dmsrl_adapt.parts import MarginDisparity, SourceClassification

from .dmsrl import of_recipe
from .method import AUGMENTATION

MDD = Recipe(MarginDisparity(), SourceClassification(label_smoothing=0.0))
METHODS = (of_recipe("mdd", MDD), of_recipe("mdd_augmented", Recipe(*AUGMENTATION, *MDD)))
