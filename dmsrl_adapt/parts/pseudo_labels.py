"""Parts: target pseudo labels, by class prototypes or by the classifier."""

from dataclasses import dataclass
from typing import ClassVar

from pytorch_adapt.hooks.base import BaseHook
from torch import nn

from .. import keys
from ..checks import check_at_least
from ..hooks import PseudoLabelHook
from ..labelers import ArgmaxLabeler, PrototypeLabeler
from ..training import WarmUp
from .part import Part, Sizes


@dataclass(frozen=True)
class PrototypeLabels(Part):
    """Labels target samples by their nearest class prototype; see `PrototypeLabeler` and `PseudoLabelHook`.

    Args:
        threshold: fraction of a class's mean confidence below which a sample is rejected, at least 0.
        warmup: of the confidence that later parts read.

    Raises:
        ValueError: a number out of range.
    """

    kind: ClassVar = "pseudo_labels"
    trace: ClassVar = keys.TARGET_PSEUDO_LABELS

    threshold: float = 0.5
    warmup: WarmUp = WarmUp.LINEAR

    def __post_init__(self) -> None:
        self.coerce(warmup=WarmUp(self.warmup))
        check_at_least(0, threshold=self.threshold)

    @property
    def misc_keys(self) -> tuple[str, ...]:
        return (keys.PSEUDO_LABELER,)

    def misc(self, sizes: Sizes) -> dict[str, nn.Module]:
        labeler = PrototypeLabeler(sizes.num_classes, sizes.feature_dim, sizes.num_target, threshold=self.threshold)
        return {keys.PSEUDO_LABELER: labeler}

    def hooks(self) -> list[BaseHook]:
        return [PseudoLabelHook(warmup=self.warmup)]


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

    def __post_init__(self) -> None:
        self.coerce(warmup=WarmUp(self.warmup))

    @property
    def misc_keys(self) -> tuple[str, ...]:
        return (keys.PSEUDO_LABELER,)

    def misc(self, sizes: Sizes) -> dict[str, nn.Module]:
        return {keys.PSEUDO_LABELER: ArgmaxLabeler()}

    def hooks(self) -> list[BaseHook]:
        return [PseudoLabelHook(warmup=self.warmup)]
