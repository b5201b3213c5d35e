"""Hook: features of the source that carry little of its style."""

from collections.abc import Sequence
from typing import Any

from pytorch_adapt.hooks.base import BaseHook

from .. import keys
from ..layers import RandomConvolution
from .source_style import run_backbone, show_source


class SourceFeaturesHook(BaseHook):
    """Computes the source's features from images of which some are shown in a random style; it can also keep the source
    out of G's running batch statistics, so that in evaluation mode G normalises by those of the target alone.

    It belongs into `pre=[...]` of any method: the hooks after it find the features and compute none of their own, so
    there is no further forward pass. Features that are in the context already are left as they are. Input that is not
    an image (N, C, H, W), such as feature vectors, has no style. In a method that never shows G the target, such as
    training on the source alone, the statistics would stay what they were made: there let the source move them.

    Modules: `G`. Reads: `src_imgs`. Writes: `src_imgs_features`. No losses.

    Args:
        style_probability: share of the images that get another style, 0..1.
        kernel_sizes: odd numbers of pixels, see `RandomConvolution`.
        moves_statistics: let G's running statistics follow the source too, as without this hook.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.
        ValueError: style_probability or kernel_sizes out of range.

    Reference:
        Xu et al., ICLR 2021, arXiv 2007.13003, for the style; Li et al., Revisiting Batch Normalization For Practical
        Domain Adaptation, arXiv 1603.04779, for the target's own statistics.
    """

    def __init__(
        self,
        style_probability: float = 0.5,
        kernel_sizes: Sequence[int] = (1, 3, 5),
        moves_statistics: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.style = RandomConvolution(style_probability, kernel_sizes)
        self.moves_statistics = moves_statistics

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """"""
        if keys.features(keys.SRC) in inputs:
            return {}, {}
        is_shown = keys.styled(keys.SRC) in inputs
        shown = {} if is_shown else show_source(self, inputs, self.style, self.moves_statistics)
        return {keys.features(keys.SRC): run_backbone(self, {**inputs, **shown}, keys.SRC)}, {}

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        return [keys.features(keys.SRC)]
