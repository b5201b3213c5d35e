"""Hook: margin disparity discrepancy between the domains."""

from typing import Any

import torch
from pytorch_adapt.hooks import FeaturesAndLogitsHook
from pytorch_adapt.hooks.base import BaseHook

from .. import keys
from ..checks import check_at_least
from ..losses import class_probs
from ..training import WarmUp
from .context import domain_numbers, read, read_progress


class MarginDisparityHook(BaseHook):
    """Lowers the margin disparity discrepancy (MDD) between the domains, by an adversarial head behind gradient
    reversal.

    The head's labels are the classes that C predicts, for the source too, and get no gradient. Several classifiers
    predict by their mean probabilities.

    Modules: `G`, `C` (for missing features and logits), `margin_metric` (models; `MarginDisparityLoss`). Reads:
    `src_imgs_features`, `target_imgs_features`, `src_imgs_features_logits`, `target_imgs_features_logits`; `progress`
    where present. Writes: the features and logits it had to compute. Loss: `margin_metric_loss` in nats, the head's.

    Args:
        strength: factor >= 0 on the gradient that reaches the features; 0.1 in the paper.
        warmup: of the strength.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.
        ValueError: a negative strength; from the layer, on wrong shapes, NaN features.

    Examples:
        >>> from dmsrl_adapt.losses import MarginDisparityLoss
        >>> batch = {f"{domain}_imgs_features": torch.eye(2) for domain in ("src", "target")}
        >>> batch |= {f"{domain}_imgs_features_logits": torch.eye(2) for domain in ("src", "target")}
        >>> outputs, losses = MarginDisparityHook()({"margin_metric": MarginDisparityLoss(2, 2), **batch})
        >>> losses["margin_metric_loss"].shape
        torch.Size([])
    """

    def __init__(self, strength: float = 0.1, warmup: WarmUp | str = WarmUp.SIGMOID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_at_least(0, strength=strength)
        self.strength, self.warmup = strength, WarmUp(warmup)
        self.f_hook = FeaturesAndLogitsHook(domains=keys.DOMAINS)

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        layer = read(self, inputs, keys.MARGIN_METRIC)
        outputs = self.f_hook(inputs, losses)[0]
        context = inputs | outputs
        features = torch.cat([context[keys.features(domain)] for domain in keys.DOMAINS])
        classes = torch.cat([class_probs(context[keys.logits(domain)]).argmax(1) for domain in keys.DOMAINS])
        strength = self.strength * self.warmup(read_progress(inputs))
        return outputs, {keys.MARGIN_METRIC_LOSS: layer(features, classes, domain_numbers(context), strength)}

    def _loss_keys(self) -> list[str]:
        return [keys.MARGIN_METRIC_LOSS]

    def _out_keys(self) -> list[str]:
        return list(self.f_hook.out_keys)
