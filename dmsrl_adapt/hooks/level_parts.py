"""What a loss is applied to: the fused feature, or levels with weights."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .. import keys
from .context import read


class Part(NamedTuple):
    """One feature that a loss is applied to.

    weight: of its loss in the sum.
    layer: gives that loss.
    feature_keys: where the feature is in the context, one key a domain.
    """

    weight: float
    layer: nn.Module
    feature_keys: tuple[str, ...]

    def features(self, context: Mapping[str, Any]) -> Tensor:
        """Returns the features of all domains, one domain after the other, shape (N, D)."""
        return torch.cat([context[key] for key in self.feature_keys])


def check_level_weights(levels: Mapping[str, float] | None) -> dict[str, float] | None:
    """Returns a copy of the levels' weights. Raises `ValueError` without a level, or for a weight below 0."""
    if levels is None:
        return None
    if not levels or any(weight < 0 for weight in levels.values()):
        raise ValueError(f"levels must be weights of at least 0 by name, at least one, got {levels}")
    return dict(levels)


def read_parts(
    hook: object, inputs: Mapping[str, Any], key: str, domains: Sequence[str], levels: Mapping[str, float] | None
) -> list[Part]:
    """Returns the layer that `key` names with the fused feature; or, of each level, its own layer with its features.

    Raises:
        KeyError: a layer is missing, or a feature of a level, which `LevelFeaturesHook` writes.
    """
    if levels is None:
        return [Part(1.0, read(hook, inputs, key), tuple(map(keys.features, domains)))]
    parts = []
    for name, weight in levels.items():
        layer = read(hook, inputs, keys.level_module(key, name))
        feature_keys = tuple(keys.level(domain, name) for domain in domains)
        for feature_key in feature_keys:
            read(hook, inputs, feature_key)
        parts.append(Part(weight, layer, feature_keys))
    return parts
