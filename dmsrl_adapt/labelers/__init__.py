"""Pseudo labelers: class labels for unlabelled target samples."""

from .argmax_labeler import ArgmaxLabeler
from .faiss_search import nearest
from .neighbour_memory import vote
from .prototype_labeler import PrototypeLabeler
from .pseudo_labels import PseudoLabels

__all__ = [
    "ArgmaxLabeler",
    "PrototypeLabeler",
    "PseudoLabels",
    "nearest",
    "vote",
]
