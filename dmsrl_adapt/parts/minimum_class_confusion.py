"""Part: minimum class confusion on the target."""

from dataclasses import dataclass
from typing import ClassVar

from pytorch_adapt.hooks import MCCHook
from pytorch_adapt.hooks.base import BaseHook

from .. import keys
from ..checks import check_positive
from ..hooks.warm_up import warmed_up
from ..losses import MinimumClassConfusionLoss, OverClassifiers
from ..training import WarmUp
from .part import Part, Space


@dataclass(frozen=True)
class MinimumClassConfusion(Part):
    """Minimum class confusion (MCC) of target predictions, by upstream's `MCCHook` and `MinimumClassConfusionLoss`.

    Args:
        weight: of `mcc_loss`, at least 0.
        temperature: of the softmax, above 0; 2.5 in the paper.
        warmup: of the weight.

    Raises:
        ValueError: a number out of range.

    Reference:
        Jin et al., Minimum Class Confusion for Versatile Domain Adaptation, ECCV 2020, arXiv 1912.03699.
    """

    kind: ClassVar = "mcc"
    trace: ClassVar = keys.MCC_LOSS
    search_space: ClassVar[dict[str, Space]] = {"weight": (0.1, 3.0), "temperature": (1.5, 4.0)}

    weight: float
    temperature: float = 2.5
    warmup: WarmUp = WarmUp.SIGMOID

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(temperature=self.temperature)

    def hooks(self) -> list[BaseHook]:
        loss_fn = OverClassifiers(MinimumClassConfusionLoss(T=self.temperature))
        return [warmed_up(MCCHook(loss_fn=loss_fn), self.warmup)]

    @property
    def loss_weights(self) -> dict[str, float]:
        return {keys.MCC_LOSS: self.weight}
