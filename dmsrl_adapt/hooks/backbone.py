"""Hook: features of what G is to see of each domain."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_adapt.hooks.base import BaseHook
from torch import nn

from .. import keys
from .context import read


class BackboneHook(BaseHook):
    """Computes features of the images as a `AugmentHook` before has left them, else of the images as they are.

    It belongs into `pre=[...]` of any method: the hooks after it find the features and compute none of their own, so
    there is no further forward pass. Features that are in the context already are left as they are.

    Modules: `G`. Reads: `src_imgs_input` or `src_imgs`, and those of the target. Writes: `src_imgs_features`,
    `target_imgs_features`. No losses.

    Args:
        domains: domains to compute.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.

    Examples:
        >>> import torch
        >>> images = {"src_imgs": torch.zeros(2, 3, 4, 4), "src_imgs_input": torch.ones(2, 3, 4, 4)}
        >>> outputs, losses = BackboneHook(["src"])({"G": nn.Flatten(), **images})
        >>> outputs["src_imgs_features"].sum()
        tensor(96.)
    """

    def __init__(self, domains: Sequence[str] = keys.DOMAINS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.domains = tuple(domains)

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        missing = [domain for domain in self.domains if keys.features(domain) not in inputs]
        return {keys.features(domain): run_backbone(self, inputs, domain) for domain in missing}, {}

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        return list(map(keys.features, self.domains))


def run_backbone(hook: object, inputs: Mapping[str, Any], domain: str, **kwargs: Any) -> Any:
    """Gives what G makes of a domain's images, as a `AugmentHook` before has left them, else as they are.

    Args:
        hook: named in errors.
        inputs: reads `G`, and `src_imgs_input` or `src_imgs`, or those of the target.
        domain: `src` or `target`.
        **kwargs: given to G.

    Raises:
        KeyError: G or the images are missing.
    """
    backbone: nn.Module = read(hook, inputs, keys.G)
    key = keys.network_input(domain) if keys.network_input(domain) in inputs else keys.imgs(domain)
    return backbone(read(hook, inputs, key), **kwargs)
