"""Hook: the target in a random style belongs to the class to which it belongs as it is."""

from typing import Any

import torch
from pytorch_adapt.hooks import FeaturesAndLogitsHook
from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor

from .. import keys
from ..layers import class_probs, consistency_loss
from ..layers.processes import is_shared
from .context import read


class ViewConsistencyHook(BaseHook):
    """Teaches the class of target images in a random style by what the network says of the same images as they are.

    The images as they are take one forward pass without a gradient, in the mode in which G and C are, so batch
    normalisation follows them too. A `RandomStyleHook` for the target and a `StyledFeaturesHook` belong before it.

    Modules: `G`, `C`. Reads: `target_imgs`, `target_imgs_is_styled`, `target_imgs_features_logits`, computed where
    they are missing. Writes: the features and logits it had to compute. Loss: `view_consistency_loss` in nats; 0 with a
    gradient where fewer than two images are in another style, which batch statistics need.

    Args:
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.
        ValueError: `target_imgs_is_styled` of the wrong shape; from the layer, on logits of the wrong shape.

    Examples:
        >>> from torch import nn
        >>> batch = {"target_imgs": torch.zeros(2, 3, 4, 4), "target_imgs_is_styled": torch.tensor([True, True])}
        >>> batch |= {"target_imgs_features": torch.zeros(2, 48), "target_imgs_features_logits": torch.zeros(2, 2)}
        >>> outputs, losses = ViewConsistencyHook()({"G": nn.Flatten(), "C": nn.Linear(48, 2), **batch})
        >>> losses["view_consistency_loss"].shape
        torch.Size([])
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.f_hook = FeaturesAndLogitsHook(domains=[keys.TARGET])

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        images, is_styled = (read(self, inputs, key(keys.TARGET)) for key in (keys.imgs, keys.is_styled))
        if is_styled.shape != (len(images),):
            wanted, came = (len(images),), tuple(is_styled.shape)
            raise ValueError(f"{keys.is_styled(keys.TARGET)} must have shape {wanted}, got {came}")
        outputs = self.f_hook(inputs, losses)[0]
        logits = (inputs | outputs)[keys.logits(keys.TARGET)]
        rows = is_styled.nonzero()[:, 0]
        rows = rows if len(rows) > 1 else rows[:0]
        seen = [one[rows] for one in ([logits] if isinstance(logits, Tensor) else logits)]
        # in a process group all processes make the same passes, of which some exchange statistics
        passes = len(rows) or is_shared()
        probs = self._class_probs(inputs, images[rows] if len(rows) else images)[: len(rows)] if passes else seen[0]
        return outputs, {keys.VIEW_CONSISTENCY_LOSS: consistency_loss(seen, probs)}

    def _class_probs(self, inputs: dict[str, Any], images: Tensor) -> Tensor:
        """Class probabilities of images as they are; shape (N, K)."""
        backbone, classifier = (read(self, inputs, key) for key in (keys.G, keys.C))
        with torch.no_grad():
            return class_probs(classifier(backbone(images)))

    def _loss_keys(self) -> list[str]:
        return [keys.VIEW_CONSISTENCY_LOSS]

    def _out_keys(self) -> list[str]:
        return list(self.f_hook.out_keys)
