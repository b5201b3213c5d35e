"""Parts: target pseudo labels, by class prototypes or by the classifier."""

from dataclasses import dataclass
from typing import ClassVar

from pytorch_adapt.hooks.base import BaseHook

from .. import keys
from ..checks import check_at_least
from ..hooks import PseudoLabelHook
from ..hooks.pseudo_label import check_prototypes
from ..labelers import ArgmaxLabeler, PrototypeLabeler
from ..training import WarmUp
from .part import Factory, Part, Sizes


@dataclass(frozen=True)
class PrototypeLabels(Part):
    """Labels target samples by their nearest class prototype; see `PrototypeLabeler` and `PseudoLabelHook`.

    Args:
        threshold: fraction of a class's mean confidence below which a sample is rejected, at least 0.
        warmup: of the confidence that later parts read.
        prototypes: "both", of both domains by labels and pseudo labels, or "target", of the target alone by the
            classifier's probabilities, as in SHOT.

    Raises:
        ValueError: a number out of range, or unknown prototypes.
    """

    kind: ClassVar = "pseudo_labels"
    trace: ClassVar = keys.TARGET_PSEUDO_LABELS

    threshold: float = 0.5
    warmup: WarmUp = WarmUp.LINEAR
    prototypes: str = "both"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(0, threshold=self.threshold)
        check_prototypes(self.prototypes)

    def misc(self) -> dict[str, Factory]:
        return {keys.PSEUDO_LABELER: self._labeler}

    def _labeler(self, sizes: Sizes) -> PrototypeLabeler:
        numbers = sizes.num_classes, sizes.feature_dim, sizes.num_target
        return PrototypeLabeler(*numbers, threshold=self.threshold)

    def hooks(self) -> list[BaseHook]:
        return [PseudoLabelHook(self.warmup, self.prototypes)]


@dataclass(frozen=True)
class ArgmaxLabels(Part):
    """Labels target samples by the classifier's prediction, with confidence 1. The published form.

    Args:
        warmup: of the confidence that later parts read.

    Raises:
        ValueError: unknown warm-up.
    """

    kind: ClassVar = "pseudo_labels"
    trace: ClassVar = keys.TARGET_PSEUDO_LABELS

    warmup: WarmUp = WarmUp.NONE

    def misc(self) -> dict[str, Factory]:
        return {keys.PSEUDO_LABELER: lambda sizes: ArgmaxLabeler()}

    def hooks(self) -> list[BaseHook]:
        return [PseudoLabelHook(warmup=self.warmup)]
