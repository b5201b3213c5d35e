"""Hook: category margin loss from source labels and target pseudo labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_adapt.hooks import EmptyHook, FeaturesHook
from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor

from .. import keys
from .context import numbers_of_parts, read
from .known_target_labels import read_known_labels
from .level_parts import check_level_weights, read_parts, weighted_sum


class MarginMetricHook(BaseHook):
    """Computes the category margin loss with source labels and, where present, target pseudo labels.

    Known target labels, see `KnownTargetLabelsHook`, replace pseudo labels, with weight 1. Without either, target
    samples have no label.

    Modules: `G` (for missing features), `margin_metric` (models; `CosineMarginLoss` or `MarginMetricLoss`); with
    levels, one per level, such as `margin_metric_level_global`. Reads: `src_imgs_features`, `src_labels`,
    `target_imgs_features`; where present `target_pseudo_labels`, `target_pseudo_weights`, `target_known_labels`; with
    levels, keys such as `src_imgs_level_global` of a `LevelFeaturesHook` instead of the features. Writes: the features
    it had to compute. Loss: `margin_metric_loss`, with levels the weighted sum over them.

    Args:
        domains: domains to use; the layer sees them as domain 0, 1, ... in this order.
        levels: weights, at least 0, by the name of a level; None for the fused feature.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.
        ValueError: no level or a negative weight; from the layer, on wrong shapes, labels or weights out of range, NaN
            features.

    Examples:
        >>> from dmsrl_adapt.losses import CosineMarginLoss
        >>> batch = {"src_imgs_features": torch.eye(2), "src_labels": torch.tensor([0, 1])}
        >>> batch |= {"target_imgs_features": torch.eye(2), "target_pseudo_labels": torch.tensor([1, -1])}
        >>> outputs, losses = MarginMetricHook()({"margin_metric": CosineMarginLoss(2, 2), **batch})
        >>> losses["margin_metric_loss"].shape
        torch.Size([])
    """

    def __init__(
        self, domains: Sequence[str] = keys.DOMAINS, levels: Mapping[str, float] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.domains, self.levels = tuple(domains), check_level_weights(levels)
        # only the fused feature is computed here; levels must be in the context
        self.f_hook = FeaturesHook(domains=list(domains)) if levels is None else EmptyHook()

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        parts = read_parts(self, inputs, keys.MARGIN_METRIC, self.domains, self.levels)
        outputs = self.f_hook(inputs, losses)[0]
        context = inputs | outputs
        first = [context[key] for key in parts[0].feature_keys]
        rows = [self._labelled(context, *pair) for pair in zip(self.domains, first, strict=True)]
        labels, weights = torch.cat([of_domain for of_domain, _ in rows]), joined_weights(rows)
        domains = numbers_of_parts(tuple(map(len, first)), first[0].device)
        terms = [part.layer(part.features(context), labels, domains, weights) for part in parts]
        return outputs, {keys.MARGIN_METRIC_LOSS: weighted_sum(parts, terms)}

    def _labelled(self, context: Mapping[str, Any], domain: str, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns labels (-1 without one) and weights of one domain, each of shape (N,); None for weights of 1."""
        size, weights = len(features), None
        if domain != keys.TARGET:
            labels = read(self, context, keys.SRC_LABELS)
        else:
            labels = context.get(keys.TARGET_PSEUDO_LABELS)
            labels = torch.full((size,), -1, device=features.device) if labels is None else labels
            weights = context.get(keys.TARGET_PSEUDO_WEIGHTS)
        for key, values in (("labels", labels), ("weights", weights)):
            if values is not None and values.shape != (size,):
                raise ValueError(f"{domain} {key} must have shape ({size},), got {tuple(values.shape)}")
        if domain == keys.TARGET:
            known = read_known_labels(context, size)
            labels = labels if known is None else known.where(known >= 0, labels)
            weights = weights if known is None or weights is None else weights.masked_fill(known >= 0, 1.0)
        return labels, weights

    def _loss_keys(self) -> list[str]:
        return [keys.MARGIN_METRIC_LOSS]

    def _out_keys(self) -> list[str]:
        return list(self.f_hook.out_keys)


def joined_weights(rows: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor | None:
    """Returns the weights of all domains, shape (N,), from labels and weights of each; None if all are 1."""
    sizes = [len(labels) for labels, _ in rows]
    given = [place for place, (_, weights) in enumerate(rows) if weights is not None]
    if not given:
        return None
    (place,) = given  # only the target has weights
    weights: Any = rows[place][1]
    return F.pad(weights, (sum(sizes[:place]), sum(sizes[place + 1 :])), value=1.0)
