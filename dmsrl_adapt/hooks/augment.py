"""Hook: random augmentation of the images of a domain."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor

from .. import keys
from ..augment import RandomAffine, RandomConvolution
from ..augment.host_draws import drawn_rows, on_device
from ..augment.random_affine import moved_images, unmoved
from ..checks import check_fractions
from .context import read, read_augmented


class AugmentHook(BaseHook):
    """Augments a random part of a domain's images by `RandomAffine` and `RandomConvolution`.

    Put it in `pre=[...]`, before a `BackboneHook` or `LevelFeaturesHook`, which pass the result to G; upstream's own
    features hooks use the images without augmentation. A batch can supply augmented copies as `src_imgs_augmented`, for
    example from a data loader, or features that a frozen network computed of augmented images. They are then used
    instead. Without them, inputs that are not images (N, C, H, W), such as feature vectors, are not augmented.

    Modules: `source_accuracy` (misc; `SourceAccuracy`) with `accuracy_gate`. Reads: `src_imgs`, or that of the target;
    `src_imgs_augmented` where present, of the same shape; with `accuracy_gate` `source_kappa` where present, without
    which a GPU waits for the source accuracy. Writes: `src_imgs_input`, the input of G, of the same shape;
    `src_imgs_is_augmented`, bool (N,); `src_imgs_affine`, float32 (N, 2, 3), affine matrices as
    `torch.nn.functional.affine_grid` takes them, the identity for images that are not augmented here;
    `src_imgs_augmented_rows`, int64 (n,), the augmented images. No losses.

    Args:
        domain: `src` or `target`.
        probability: of an image to be augmented, 0..1.
        kernel_sizes: odd numbers of pixels, see `RandomConvolution`.
        affine_strength: at least 0, see `RandomAffine`; 0 for no affine augmentation. It does not apply to augmented
            copies that the batch supplies.
        accuracy_gate: multiply the probability by the source accuracy above chance, see `SourceAccuracy`. A network
            that cannot classify the source yet learns more slowly from augmented images.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.
        ValueError: domain, probability, kernel_sizes or affine_strength out of range; augmented copies of another shape
            than the images.
        TypeError: augmented copies that are not a tensor, or of another dtype than the images.

    Reference:
        Xu et al., ICLR 2021, arXiv 2007.13003; French et al., ICLR 2018, arXiv 1706.05208.

    Examples:
        >>> import torch
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
        self.convolution, self.affine = RandomConvolution(kernel_sizes), RandomAffine(affine_strength)

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        images: Tensor = read(self, inputs, keys.imgs(self.domain))
        supplied = read_augmented(inputs, self.domain, images)
        can_augment = images.ndim == 4 or supplied is not None
        # all that decides on shapes is known on the host
        on_host = drawn_rows(len(images), self.probability * self._gate(inputs) if can_augment else 0.0)
        rows, shown, affine = on_device(on_host, images), images, unmoved(len(images))
        if len(rows):
            changed = images[rows] if supplied is None else supplied[rows]
            if supplied is None:
                if self.affine.strength > 0:
                    affine[on_host] = matrices = self.affine.draw(changed)
                    changed = moved_images(changed, on_device(matrices, images))
                changed = self.convolution(changed)
            shown = images.index_copy(0, rows, changed)
        outputs = {
            keys.network_input: shown,
            keys.is_augmented: on_device(np.isin(np.arange(len(images)), on_host), images),
            keys.affine: on_device(affine, images),
            keys.augmented_rows: rows,
        }
        return {key(self.domain): value for key, value in outputs.items()}, {}

    def _gate(self, inputs: Mapping[str, Any]) -> float:
        """Returns the factor on the probability, known on the host."""
        if not self.accuracy_gate:
            return 1.0
        known: float | None = inputs.get(keys.SOURCE_KAPPA)
        return float(read(self, inputs, keys.SOURCE_ACCURACY)()) if known is None else known

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        written = keys.network_input, keys.is_augmented, keys.affine, keys.augmented_rows
        return [key(self.domain) for key in written]
