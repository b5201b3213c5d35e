"""Hook: global and local features of both domains, with one forward pass each."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor

from .. import keys
from .backbone import other_inputs, run_backbone
from .context import read


class LevelFeaturesHook(BaseHook):
    """Writes the fused feature and every level of a `MultiLevelBackbone`, with one forward pass for each domain.

    Put it in `pre=[...]`, so that later hooks find the features; the levels need no further forward pass. After an
    `AugmentHook`, features and levels are those of the augmented images; `DMSRLHook` augments before `pre`.

    Modules: `G` (models; a `MultiLevelBackbone`, wrapped for distributed training or not). Reads: `src_imgs`,
    `target_imgs`; where present `src_imgs_landmarks`, `target_imgs_landmarks`, see `LocalWindows`, and the output of an
    `AugmentHook`. Writes: `src_imgs_features`, `target_imgs_features`, and for each level a key such as
    `src_imgs_level_global`, shape (N, level_dims["global"]). No losses.

    Args:
        levels: names of the levels to write; None for all levels of G. `out_keys` then has those of the last call, and
            none before the first.
        domains: domains to compute.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing, or G has no level of that name.
        TypeError: G does not return levels; landmarks that are not floating point.
        ValueError: landmarks of the wrong shape, or far outside the image.

    Examples:
        >>> import torch
        >>> from dmsrl_adapt import MultiLevelBackbone
        >>> batch = {"src_imgs": torch.zeros(2, 3, 64, 64), "target_imgs": torch.zeros(2, 3, 64, 64)}
        >>> hook = LevelFeaturesHook(["global", "top_left"])
        >>> outputs, losses = hook({"G": MultiLevelBackbone("resnet10t"), **batch})
        >>> outputs["src_imgs_level_top_left"].shape
        torch.Size([2, 512])
    """

    def __init__(
        self, levels: Sequence[str] | None = None, domains: Sequence[str] = keys.DOMAINS, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.levels, self.domains = None if levels is None else tuple(levels), tuple(domains)
        # of the last batch: upstream reads `out_keys` again after a call and requires all of them
        self.written = self.levels or ()

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        for domain in self.domains:  # checks before the first forward pass
            other_inputs(read(self, inputs, keys.G), inputs, domain)
        outputs = {}
        for domain in self.domains:
            fused, levels = self._forward(inputs, domain)
            outputs[keys.features(domain)] = fused
            self.written = tuple(levels) if self.levels is None else self.levels
            for name in self.written:
                outputs[keys.level(domain, name)] = read(self, levels, name)
        return outputs, {}

    def _forward(self, inputs: Mapping[str, Any], domain: str) -> tuple[Tensor, dict[str, Tensor]]:
        try:
            result: tuple[Tensor, dict[str, Tensor]] = run_backbone(self, inputs, domain, return_levels=True)
        except TypeError as error:
            if "return_levels" not in str(error):
                raise
            came = type(inputs[keys.G]).__name__
            raise TypeError(f"G must be a MultiLevelBackbone to return levels, got {came}") from error
        return result

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        levels = [keys.level(domain, name) for domain in self.domains for name in self.written]
        return [*map(keys.features, self.domains), *levels]
