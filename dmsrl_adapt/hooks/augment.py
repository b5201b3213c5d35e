"""Hook: what G is to see of a domain."""

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor

from .. import keys
from ..augment import RandomAffine, RandomConvolution
from ..augment.random_affine import moved_images
from ..checks import check_fractions
from .context import read, read_augmented


class AugmentHook(BaseHook):
    """Shows G some of a domain's images in a random style and pose, drawn anew at every step.

    It belongs into `pre=[...]`, before a `BackboneHook` or `LevelFeaturesHook`, which show G what this hook has
    left; upstream's own features hooks show it the images as they are. A batch may bring the other style itself, as
    `src_imgs_augmented`: features that a frozen network gave for the images in a random style, or a data loader's own
    augmentation. Without it, input that is not an image (N, C, H, W), such as feature vectors, has no style.

    Modules: `source_accuracy` (misc; `SourceAccuracy`) with `accuracy_gate`. Reads: `src_imgs`, or that of the other domain;
    `src_imgs_augmented` where present, of the same shape. Writes: `src_imgs_input`, of the same shape;
    `src_imgs_is_augmented`, bool (N,), which of them are in another style; `src_imgs_affine`, float32 (N, 2, 3), where each
    of them is read, as `torch.nn.functional.affine_grid` takes it, which is where it was for those that the batch
    brings. No losses.

    Args:
        domain: `src` or `target`.
        probability: share of the images that get another style, 0..1.
        kernel_sizes: odd numbers of pixels, see `RandomConvolution`.
        affine_strength: how far those images are turned, scaled, sheared and shifted, see `RandomAffine`; 0 for not at
            all. Style and pose that a batch brings are what they are.
        accuracy_gate: multiply that share by the skill that a `SourceAccuracyHook` follows. A network that does not tell the
            source as it is yet learns it slower from images that are harder.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a key is missing.
        ValueError: domain, probability, kernel_sizes or affine_strength out of range; images in another style of
            another shape.
        TypeError: images in another style that are no tensor, or of another type.

    Reference:
        Xu et al., ICLR 2021, arXiv 2007.13003; French et al., ICLR 2018, arXiv 1706.05208.

    Examples:
        >>> outputs, losses = AugmentHook(probability=1.0)({"src_imgs": torch.zeros(2, 3, 8, 8)})
        >>> outputs["src_imgs_input"].shape, outputs["src_imgs_is_augmented"]
        (torch.Size([2, 3, 8, 8]), tensor([True, True]))
    """

    def __init__(
        self,
        domain: str = keys.SRC,
        probability: float = 0.5,
        kernel_sizes: Sequence[int] = (1, 3, 5),
        affine_strength: float = 1.0,
        accuracy_gate: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if domain not in keys.DOMAINS:
            raise ValueError(f"domain must be one of {keys.DOMAINS}, got {domain!r}")
        check_fractions(probability=probability)
        self.domain, self.probability, self.accuracy_gate = domain, probability, accuracy_gate
        self.style, self.pose = RandomConvolution(kernel_sizes), RandomAffine(affine_strength)

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        images: Tensor = read(self, inputs, keys.imgs(self.domain))
        augmented = read_augmented(inputs, self.domain, images)
        has_style = images.ndim == 4 or augmented is not None
        share = self.probability if has_style else 0.0
        skill = read(self, inputs, keys.SOURCE_ACCURACY)() if self.accuracy_gate else 1.0
        is_augmented = torch.rand(len(images), device=images.device) < share * skill
        pose = torch.eye(2, 3, device=images.device).repeat(len(images), 1, 1)
        styled = images
        if augmented is not None:
            styled = torch.where(is_augmented.view(-1, *[1] * (images.ndim - 1)), augmented, images)
        elif is_augmented.any():
            chosen = images[is_augmented]
            if self.pose.strength > 0:
                maps = self.pose.draw(chosen)
                pose[is_augmented], chosen = maps, moved_images(chosen, maps)
            styled = images.index_put((is_augmented,), self.style(chosen))
        outputs = {keys.network_input: styled, keys.is_augmented: is_augmented, keys.affine: pose}
        return {key(self.domain): value for key, value in outputs.items()}, {}

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        return [key(self.domain) for key in (keys.network_input, keys.is_augmented, keys.affine)]
