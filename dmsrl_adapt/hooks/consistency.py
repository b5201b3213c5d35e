"""Hook: consistency of target predictions under augmentation."""

from typing import Any

import torch
from pytorch_adapt.hooks import FeaturesAndLogitsHook
from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor

from .. import keys
from ..losses import class_probs, consistency_loss
from ..processes import is_shared
from .backbone import run_backbone_on_rows
from .context import read


class ConsistencyHook(BaseHook):
    """Consistency regularisation: predictions for augmented target images learn from those for the images themselves.

    The images without augmentation take one more forward pass, without a gradient and in the current mode of G and C,
    so in training mode it updates the statistics of batch normalisation. Put an `AugmentHook` for the target and a
    `BackboneHook` before it.

    Modules: `G`, `C`. Reads: `target_imgs`, `target_imgs_is_augmented`; `target_imgs_augmented_rows` where present,
    without which a GPU waits for the number of augmented images; `target_imgs_features_logits`, computed if missing.
    Writes: the features and logits it had to compute. Loss: `consistency_loss` in nats; 0 with a gradient if fewer than
    two images are augmented, because batch normalisation needs two.

    Args:
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.
        ValueError: `target_imgs_is_augmented` of the wrong shape; from the layer, on logits of the wrong shape.

    Examples:
        >>> from torch import nn
        >>> batch = {"target_imgs": torch.zeros(2, 3, 4, 4), "target_imgs_is_augmented": torch.tensor([True, True])}
        >>> batch |= {"target_imgs_features": torch.zeros(2, 48), "target_imgs_features_logits": torch.zeros(2, 2)}
        >>> outputs, losses = ConsistencyHook()({"G": nn.Flatten(), "C": nn.Linear(48, 2), **batch})
        >>> losses["consistency_loss"].shape
        torch.Size([])
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.f_hook = FeaturesAndLogitsHook(domains=[keys.TARGET])

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        images, is_augmented = (read(self, inputs, key(keys.TARGET)) for key in (keys.imgs, keys.is_augmented))
        if is_augmented.shape != (len(images),):
            wanted, came = (len(images),), tuple(is_augmented.shape)
            raise ValueError(f"{keys.is_augmented(keys.TARGET)} must have shape {wanted}, got {came}")
        outputs = self.f_hook(inputs, losses)[0]
        logits = (inputs | outputs)[keys.logits(keys.TARGET)]
        known_rows = inputs.get(keys.augmented_rows(keys.TARGET))
        rows = is_augmented.nonzero()[:, 0] if known_rows is None else known_rows
        rows = rows if len(rows) > 1 else rows[:0]
        augmented_logits = [one[rows] for one in ([logits] if isinstance(logits, Tensor) else logits)]
        if len(rows):
            probs = self._class_probs(inputs, rows)
        elif is_shared():  # all processes make the same passes, because synchronised batch normalisation needs it
            probs = self._class_probs(inputs, torch.arange(len(images), device=rows.device))[:0]
        else:
            probs = augmented_logits[0]
        return outputs, {keys.CONSISTENCY_LOSS: consistency_loss(augmented_logits, probs)}

    def _class_probs(self, inputs: dict[str, Any], rows: Tensor) -> Tensor:
        """Returns class probabilities of some of the images, without augmentation, shape (N, K)."""
        classifier = read(self, inputs, keys.C)
        with torch.no_grad():
            return class_probs(classifier(run_backbone_on_rows(self, inputs, keys.TARGET, rows)))

    def _loss_keys(self) -> list[str]:
        return [keys.CONSISTENCY_LOSS]

    def _out_keys(self) -> list[str]:
        return list(self.f_hook.out_keys)
