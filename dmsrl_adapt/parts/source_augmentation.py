"""Part: random augmentation of source images."""

from dataclasses import dataclass
from typing import ClassVar

from pytorch_adapt.hooks import ADDAHook, FinetunerHook, VADAHook
from pytorch_adapt.hooks.base import BaseHook

from .. import keys
from ..checks import check_at_least, check_fractions
from ..hooks import AugmentHook, SourceAccuracyHook
from ..training import SourceAccuracy
from .part import FIXED_G, SAME_IMAGE, Factory, Part, Space


@dataclass(frozen=True)
class SourceAugmentation(Part):
    """Augments a random part of the source images by random convolutions and affine transforms; see `AugmentHook`.

    Args:
        probability: of a source image to be augmented, 0..1.
        affine_strength: factor, at least 0, on angles, scale and shift, see `RandomAffine`; 0 for no affine
            augmentation.
        accuracy_gate: multiply the probability by the source accuracy above chance, see `SourceAccuracy`. A network
            that cannot classify the source yet learns more slowly from augmented images.

    Raises:
        ValueError: a number out of range.
    """

    kind: ClassVar = "augmentation"
    trace: ClassVar = keys.network_input(keys.SRC)
    refused_by: ClassVar = {
        **Part.refused_by,
        FinetunerHook: FIXED_G,
        ADDAHook: "it keeps the source's network fixed, which was trained without augmented images",
        VADAHook: SAME_IMAGE,
    }
    search_space: ClassVar[dict[str, Space]] = {
        "probability": [0.0, 0.25, 0.5, 0.75],
        "affine_strength": [0.0, 0.5, 1.0, 1.5],
    }

    probability: float = 0.5
    affine_strength: float = 1.0
    accuracy_gate: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(probability=self.probability)
        check_at_least(0, affine_strength=self.affine_strength)

    def misc(self) -> dict[str, Factory]:
        if not self.accuracy_gate:
            return {}
        return {keys.SOURCE_ACCURACY: lambda sizes: SourceAccuracy(sizes.num_classes)}

    def hooks_before(self) -> list[BaseHook]:
        strength, gate = self.affine_strength, self.accuracy_gate
        return [AugmentHook(keys.SRC, self.probability, affine_strength=strength, accuracy_gate=gate)]

    def hooks(self) -> list[BaseHook]:
        return [SourceAccuracyHook()] if self.accuracy_gate else []
