"""Hook: category margin from source labels and target pseudo labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pytorch_adapt.hooks import FeaturesHook
from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor

from .. import keys
from .context import read


class MarginMetricHook(BaseHook):
    """Enlarges the category margin with the source's labels and, where a hook before it has left them, the target's
    pseudo labels.

    Modules: `G` (for features that are missing), `margin_metric` (models; `CosineMarginLoss` or `MarginMetricLoss`).
    Reads: `src_imgs_features`, `src_labels`, `target_imgs_features`; where present `target_pseudo_labels`,
    `target_pseudo_weights`. Writes: the features it had to compute.
    Loss: `margin_metric_loss`.

    Args:
        domains: domains whose features count, with number 0, 1, ... in this order for the layer.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.
        ValueError: from the layer, on wrong shapes, labels or weights out of range, NaN features.
    """

    def __init__(self, domains: Sequence[str] = keys.DOMAINS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.domains = tuple(domains)
        self.f_hook = FeaturesHook(domains=list(domains))

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """"""
        loss_fn = read(self, inputs, keys.MARGIN_METRIC)
        outputs = self.f_hook(inputs, losses)[0]
        context = {**inputs, **outputs}
        parts = [self._labelled(context, domain, number) for number, domain in enumerate(self.domains)]
        features, labels, domains, weights = (torch.cat(column) for column in zip(*parts, strict=True))
        return outputs, {keys.MARGIN_METRIC_LOSS: loss_fn(features, labels, domains, weights)}

    def _labelled(self, context: Mapping[str, Any], domain: str, number: int) -> tuple[Tensor, ...]:
        """Features, labels (-1 without one), domain number and weights of one domain."""
        features = context[keys.features(domain)]
        size = len(features)
        weights = torch.ones(size, device=features.device)
        if domain != keys.TARGET:
            labels = read(self, context, keys.SRC_LABELS)
        else:
            labels = context.get(keys.TARGET_PSEUDO_LABELS, torch.full((size,), -1, device=features.device))
            weights = context.get(keys.TARGET_PSEUDO_WEIGHTS, weights)
        for key, values in (("labels", labels), ("weights", weights)):
            if values.shape != (size,):
                raise ValueError(f"{domain} {key} must have shape ({size},), got {tuple(values.shape)}")
        return features, labels, torch.full((size,), number, device=features.device), weights

    def _loss_keys(self) -> list[str]:
        return [keys.MARGIN_METRIC_LOSS]

    def _out_keys(self) -> list[str]:
        return list(self.f_hook.out_keys)
