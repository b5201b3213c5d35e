"""Part: consistency regularisation on the target."""

from dataclasses import dataclass
from typing import ClassVar

from pytorch_adapt.hooks import ADDAHook, FinetunerHook, VADAHook
from pytorch_adapt.hooks.base import BaseHook

from .. import keys
from ..checks import check_at_least, check_positive_fractions
from ..hooks import AugmentHook, ConsistencyHook
from ..hooks.warm_up import warmed_up
from ..training import WarmUp
from .part import FIXED_G, SAME_IMAGE, Part, Space


@dataclass(frozen=True)
class TargetConsistency(Part):
    """Trains predictions for augmented target images to match those for the images themselves; see `ConsistencyHook`.

    Each augmented image takes one more forward pass, without a gradient.

    Args:
        weight: of `consistency_loss`, at least 0.
        probability: of a target image to be augmented, above 0 and at most 1.
        affine_strength: factor, at least 0, on angles, scale and shift, see `RandomAffine`; 0 for no affine
            augmentation.
        warmup: of the weight.

    Raises:
        ValueError: a number out of range.
    """

    kind: ClassVar = "consistency"
    trace: ClassVar = keys.CONSISTENCY_LOSS
    refused_by: ClassVar = {
        **Part.refused_by,
        FinetunerHook: FIXED_G,
        ADDAHook: "its target network is not G, with which this part predicts the original images",
        VADAHook: SAME_IMAGE,
    }
    search_space: ClassVar[dict[str, Space]] = {"weight": (0.1, 1.0), "affine_strength": [0.0, 0.5, 1.0, 1.5]}

    weight: float
    probability: float = 0.5
    affine_strength: float = 1.0
    warmup: WarmUp = WarmUp.SIGMOID

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(0, affine_strength=self.affine_strength)
        check_positive_fractions(probability=self.probability)

    def hooks_before(self) -> list[BaseHook]:
        return [AugmentHook(keys.TARGET, self.probability, affine_strength=self.affine_strength)]

    def hooks(self) -> list[BaseHook]:
        return [warmed_up(ConsistencyHook(), self.warmup)]

    @property
    def loss_weights(self) -> dict[str, float]:
        return {keys.CONSISTENCY_LOSS: self.weight}
