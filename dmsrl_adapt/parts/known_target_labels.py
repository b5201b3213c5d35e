"""Part: known target labels, for semi-supervised adaptation."""

from dataclasses import dataclass
from typing import ClassVar

from pytorch_adapt.hooks.base import BaseHook

from .. import keys
from ..checks import check_fractions
from ..hooks import KnownTargetLabelsHook, TargetClassificationHook
from .part import Part


@dataclass(frozen=True)
class KnownTargetLabels(Part):
    """Trains with the `target_labels` of a batch, int (N,), 0..K-1 or -1 where the class is not known.

    Without this part a recipe ignores that key, so that labels for scoring are not used for training. With it, samples
    of known class have a classification loss, and the other parts use their label instead of a pseudo label.

    Args:
        weight: of `target_c_loss`, at least 0.
        label_smoothing: fraction of a label that is spread over all classes, 0..1.

    Raises:
        ValueError: a number out of range.
    """

    kind: ClassVar = "known_target_labels"
    trace: ClassVar = keys.TARGET_CLASSIFICATION_LOSS
    reads_target_labels: ClassVar = True

    weight: float = 1.0
    label_smoothing: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(label_smoothing=self.label_smoothing)

    def hooks_before(self) -> list[BaseHook]:
        return [KnownTargetLabelsHook()]

    def hooks(self) -> list[BaseHook]:
        return [TargetClassificationHook(self.label_smoothing)]

    @property
    def loss_weights(self) -> dict[str, float]:
        return {keys.TARGET_CLASSIFICATION_LOSS: self.weight}
