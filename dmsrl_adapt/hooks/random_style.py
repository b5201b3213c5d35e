"""Hook: features of images in a random style."""

from collections.abc import Sequence
from typing import Any

from pytorch_adapt.hooks.base import BaseHook

from .. import keys
from ..layers import RandomConvolution
from .context import read


class RandomStyleHook(BaseHook):
    """Computes features from images of which some are shown in a random style, so that they cannot depend on style.

    It belongs into `pre=[...]` of any method: the hooks after it find the features and compute none of their own, so
    there is no further forward pass. Features that are in the context already are left as they are, and so is input
    that is not an image (N, C, H, W), such as feature vectors.

    Modules: `G`. Reads: `src_imgs`. Writes: `src_imgs_features`. No losses.

    Args:
        probability: share of the images that get another style, 0..1.
        kernel_sizes: odd numbers of pixels, see `RandomConvolution`.
        domains: domains whose images are restyled.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.
        ValueError: probability or kernel_sizes out of range.
    """

    def __init__(
        self,
        probability: float = 0.5,
        kernel_sizes: Sequence[int] = (1, 3, 5),
        domains: Sequence[str] = (keys.SRC,),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.style, self.domains = RandomConvolution(probability, kernel_sizes), tuple(domains)

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """"""
        backbone = read(self, inputs, keys.G)
        outputs = {}
        for domain in self.domains:
            if keys.features(domain) not in inputs:
                images = read(self, inputs, keys.imgs(domain))
                outputs[keys.features(domain)] = backbone(self.style(images) if images.ndim == 4 else images)
        return outputs, {}

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        return [keys.features(domain) for domain in self.domains]
