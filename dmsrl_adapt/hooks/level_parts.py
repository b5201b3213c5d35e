"""Features that a loss is applied to: the fused feature, or weighted levels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .. import keys
from .context import read


class LevelTerm(NamedTuple):
    """A feature that a loss is applied to.

    weight: weight of the loss in the sum.
    layer: computes the loss.
    feature_keys: context keys of the feature, one per domain.
    """

    weight: float
    layer: nn.Module
    feature_keys: tuple[str, ...]

    def features(self, context: Mapping[str, Any]) -> Tensor:
        """Returns the features of all domains, one domain after the other, shape (N, D)."""
        return torch.cat([context[key] for key in self.feature_keys])


def check_level_weights(levels: Mapping[str, float] | None) -> dict[str, float] | None:
    """Returns a copy of the levels' weights. Raises `ValueError` for an empty mapping or a weight below 0."""
    if levels is None:
        return None
    if not levels or any(weight < 0 for weight in levels.values()):
        raise ValueError(f"levels must be weights of at least 0 by name, at least one, got {levels}")
    return dict(levels)


def read_parts(
    hook: object, inputs: Mapping[str, Any], key: str, domains: Sequence[str], levels: Mapping[str, float] | None
) -> list[LevelTerm]:
    """Returns the layer at `key` with the fused feature, or one layer with its feature for each level.

    Raises:
        KeyError: a layer is missing, or a level's feature, which `LevelFeaturesHook` writes.
    """
    if levels is None:
        return [LevelTerm(1.0, read(hook, inputs, key), tuple(map(keys.features, domains)))]
    parts = []
    for name, weight in levels.items():
        layer = read(hook, inputs, keys.level_module(key, name))
        feature_keys = tuple(keys.level(domain, name) for domain in domains)
        for feature_key in feature_keys:
            read(hook, inputs, feature_key)
        parts.append(LevelTerm(weight, layer, feature_keys))
    return parts


def weighted_sum(parts: Sequence[LevelTerm], losses: Sequence[Tensor]) -> Tensor:
    """Returns the sum of losses with the weights of their parts."""
    terms = [loss if part.weight == 1 else part.weight * loss for part, loss in zip(parts, losses, strict=True)]
    return sum(terms[1:], terms[0])
