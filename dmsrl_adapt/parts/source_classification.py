"""Part: source classification."""

from dataclasses import dataclass
from typing import ClassVar

from pytorch_adapt.hooks import CLossHook
from pytorch_adapt.hooks.base import BaseHook
from torch import nn

from .. import keys
from ..checks import check_fractions
from .part import Part


@dataclass(frozen=True)
class SourceClassification(Part):
    """Cross entropy of source logits and labels, with weight 1. `attach_dmsrl` keeps the host's own instead.

    Args:
        label_smoothing: fraction of a label that is spread over all classes, 0..1.

    Raises:
        ValueError: label_smoothing out of range.
    """

    kind: ClassVar = "classification"
    in_hosts: ClassVar = False

    label_smoothing: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(label_smoothing=self.label_smoothing)

    def hooks(self) -> list[BaseHook]:
        # upstream's hook expects one value per sample
        return [CLossHook(nn.CrossEntropyLoss(reduction="none", label_smoothing=self.label_smoothing))]

    @property
    def loss_weights(self) -> dict[str, float]:
        return {keys.CLASSIFICATION_LOSS: 1.0}
