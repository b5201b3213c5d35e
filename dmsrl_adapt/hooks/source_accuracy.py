"""Hook: source accuracy above chance."""

from typing import Any

from pytorch_adapt.hooks import FeaturesAndLogitsHook
from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor

from .. import keys
from ..losses import class_probs
from .context import read


class SourceAccuracyHook(BaseHook):
    """Updates a `SourceAccuracy` with the predictions for source images that are not augmented.

    `AugmentHook(accuracy_gate=True)` multiplies its probability by this accuracy in the next steps.

    Modules: `G`, `C` (for missing features and logits), `source_accuracy` (misc; `SourceAccuracy`). Reads:
    `src_labels`, `src_imgs_features_logits`; `src_imgs_is_augmented` where present. Writes: the features and logits it
    had to compute. No losses.

    Args:
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.
        ValueError: from the layer, on wrong shapes and labels out of range.

    Examples:
        >>> import torch
        >>> from dmsrl_adapt.training import SourceAccuracy
        >>> source_accuracy = SourceAccuracy(num_classes=2, momentum=0.5)
        >>> batch = {"src_imgs_features_logits": torch.eye(2), "src_labels": torch.tensor([0, 1])}
        >>> batch |= {"source_accuracy": source_accuracy, "src_imgs_features": torch.eye(2)}
        >>> outputs, losses = SourceAccuracyHook()(batch)
        >>> source_accuracy()
        1.0
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.f_hook = FeaturesAndLogitsHook(domains=[keys.SRC])

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        source_accuracy, labels = (read(self, inputs, key) for key in (keys.SOURCE_ACCURACY, keys.SRC_LABELS))
        outputs = self.f_hook(inputs, losses)[0]
        logits = (inputs | outputs)[keys.logits(keys.SRC)]
        probs = logits if isinstance(logits, Tensor) else class_probs(logits)
        if keys.is_augmented(keys.SRC) in inputs:
            labels = labels.masked_fill(inputs[keys.is_augmented(keys.SRC)], -1)
        source_accuracy.update(probs, labels)
        return outputs, {}

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        return list(self.f_hook.out_keys)
