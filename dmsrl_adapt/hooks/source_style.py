"""Hook: what G is to see of the source."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor, nn

from .. import keys
from ..layers import RandomConvolution, kept_running_statistics
from .context import read


class SourceStyleHook(BaseHook):
    """Shows G some of the source's images in a random style; it can also keep the source out of G's running statistics.

    It belongs into `pre=[...]` before `LevelFeaturesHook`, which then takes the source's levels from what this hook has
    left. Without levels `SourceFeaturesHook` alone does both. Upstream's own features hooks show G the images as they
    are. Input that is not an image (N, C, H, W), such as feature vectors, has no style.

    Reads: `src_imgs`. Writes: `src_imgs_styled`, of the same shape, and `src_moves_statistics`, a bool. No losses.

    Args:
        style_probability: share of the images that get another style, 0..1.
        kernel_sizes: odd numbers of pixels, see `RandomConvolution`.
        moves_statistics: let G's running statistics follow the source too, as without this hook.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a key is missing.
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
        return show_source(self, inputs, self.style, self.moves_statistics), {}

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        return [keys.styled(keys.SRC), keys.moves_statistics(keys.SRC)]


def show_source(
    hook: object, inputs: Mapping[str, Any], style: RandomConvolution, moves_statistics: bool
) -> dict[str, Any]:
    """Gives what `SourceStyleHook` writes, by key. Raises `KeyError` naming the hook for missing images."""
    images: Tensor = read(hook, inputs, keys.imgs(keys.SRC))
    styled = style(images) if images.ndim == 4 else images
    return {keys.styled(keys.SRC): styled, keys.moves_statistics(keys.SRC): moves_statistics}


def run_backbone(hook: object, inputs: Mapping[str, Any], domain: str, **kwargs: Any) -> Any:
    """Gives what G makes of a domain's images, as a `SourceStyleHook` before has said, else as they are.

    Args:
        hook: named in errors.
        inputs: reads `G`, and `src_imgs_styled` or `src_imgs`; `src_moves_statistics` where present.
        domain: `src` or `target`.
        **kwargs: given to G.

    Raises:
        KeyError: G or the images are missing.
    """
    backbone: nn.Module = read(hook, inputs, keys.G)
    images = inputs[keys.styled(domain)] if keys.styled(domain) in inputs else read(hook, inputs, keys.imgs(domain))
    moves_statistics = inputs.get(keys.moves_statistics(domain), True)
    with nullcontext() if moves_statistics else kept_running_statistics(backbone):
        return backbone(images, **kwargs)
