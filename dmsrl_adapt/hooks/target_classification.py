"""Hook: classification loss of target samples whose class is known."""

from functools import partial
from typing import Any

import torch
from pytorch_adapt.hooks import FeaturesAndLogitsHook
from pytorch_adapt.hooks.base import BaseHook

from .. import keys
from ..losses import OverClassifiers, labelled_cross_entropy
from .context import read


class TargetClassificationHook(BaseHook):
    """Computes the classification loss of target samples whose class is known.

    Put it after a `KnownTargetLabelsHook`.

    Modules: `G`, `C`. Reads: `target_known_labels`, int64 (N,), -1 where the class is not known;
    `target_imgs_features_logits`, computed if missing. Writes: the features and logits it had to compute. Loss:
    `target_c_loss` in nats, the mean over the samples with a label and over classifiers; 0 with a gradient if no sample
    of the batch has a label.

    Args:
        label_smoothing: fraction of a label that is spread over all classes, 0..1.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.
        ValueError: labels of the wrong shape or out of range.

    Examples:
        >>> logits = {"target_imgs_features": torch.zeros(3, 4), "target_imgs_features_logits": torch.zeros(3, 2)}
        >>> outputs, losses = TargetClassificationHook()({**logits, "target_known_labels": torch.tensor([-1, 1, -1])})
        >>> losses["target_c_loss"]
        tensor(0.6931)
    """

    def __init__(self, label_smoothing: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.label_smoothing = label_smoothing
        self.f_hook = FeaturesAndLogitsHook(domains=[keys.TARGET])

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        labels: torch.Tensor = read(self, inputs, keys.TARGET_KNOWN_LABELS)
        outputs = self.f_hook(inputs, losses)[0]
        logits = (inputs | outputs)[keys.logits(keys.TARGET)]
        loss_fn = partial(labelled_cross_entropy, labels=labels, label_smoothing=self.label_smoothing)
        return outputs, {keys.TARGET_CLASSIFICATION_LOSS: OverClassifiers(loss_fn)(logits)}

    def _loss_keys(self) -> list[str]:
        return [keys.TARGET_CLASSIFICATION_LOSS]

    def _out_keys(self) -> list[str]:
        return list(self.f_hook.out_keys)
