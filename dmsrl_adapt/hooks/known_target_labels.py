"""Hook: classification of target samples whose class is known; and how other hooks read such labels."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from pytorch_adapt.hooks import FeaturesAndLogitsHook
from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor

from .. import keys
from ..checks import check_labels
from ..losses import OverClassifiers, labelled_cross_entropy

MOST = torch.iinfo(torch.int64).max


class KnownTargetLabelsHook(BaseHook):
    """Classifies the target samples whose class is known, for semi-supervised adaptation.

    A batch without `target_labels`, which is the usual one, passes through: no loss, no forward pass, no key. Labels
    that are for scoring only do not belong in a training batch.

    Modules: `G`, `C`. Reads: `target_labels`, int (N,), 0..K-1 or -1 where nobody knows the class, as upstream's
    `TargetDataset(..., supervised=True)` gives them; `target_imgs_features_logits`, computed where they are missing.
    Writes: the features and logits it had to compute. Loss: `target_c_loss` in nats, the mean over the samples with a
    label, and over classifiers where there are several; 0 with a gradient where a batch with the key has none.

    Args:
        label_smoothing: share of a label spread over all classes, 0..1.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.
        ValueError: labels of the wrong shape or out of range.
        TypeError: labels that are not integers.

    Examples:
        >>> logits = {"target_imgs_features": torch.zeros(3, 4), "target_imgs_features_logits": torch.zeros(3, 2)}
        >>> outputs, losses = KnownTargetLabelsHook()({**logits, "target_labels": torch.tensor([-1, 1, -1])})
        >>> losses["target_c_loss"]
        tensor(0.6931)
    """

    def __init__(self, label_smoothing: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.label_smoothing = label_smoothing
        self.f_hook = FeaturesAndLogitsHook(domains=[keys.TARGET])
        # of the last batch: upstream asks for the keys once more after a call, and wants each of them to be there
        self.has_labels = True

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        self.has_labels = keys.TARGET_LABELS in inputs
        if not self.has_labels:
            return {}, {}
        outputs = self.f_hook(inputs, losses)[0]
        logits = (inputs | outputs)[keys.logits(keys.TARGET)]
        labels = inputs[keys.TARGET_LABELS]
        loss_fn = partial(labelled_cross_entropy, labels=labels, label_smoothing=self.label_smoothing)
        return outputs, {keys.TARGET_CLASSIFICATION_LOSS: OverClassifiers(loss_fn)(logits)}

    def _loss_keys(self) -> list[str]:
        return [keys.TARGET_CLASSIFICATION_LOSS] if self.has_labels else []

    def _out_keys(self) -> list[str]:
        return list(self.f_hook.out_keys) if self.has_labels else []


def read_target_labels(inputs: Mapping[str, Any], size: int, device: torch.device, num_classes: int = MOST) -> Tensor:
    """Gives the known classes of the target batch, int64 (N,), -1 where nobody knows: everywhere without the key.

    Raises as `check_labels` does unless they are integers of shape (size,), -1..num_classes-1.
    """
    if keys.TARGET_LABELS not in inputs:
        return torch.full((size,), -1, device=device)
    return check_labels(inputs[keys.TARGET_LABELS], size, num_classes, lowest=-1, name=keys.TARGET_LABELS)


def with_known(known: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Gives labels and weights, shape (N,), with those of samples whose class is known, -1 elsewhere, put right."""
    is_known = known >= 0
    return known.where(is_known, labels), weights.masked_fill(is_known, 1.0)
