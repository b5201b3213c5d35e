"""FixMatch: confident predictions label an augmented view (Sohn et al., NeurIPS 2020, arXiv 2001.07685)."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_adapt.hooks import FeaturesAndLogitsHook
from pytorch_adapt.hooks.base import BaseHook
from pytorch_adapt.weighters import SumWeighter
from torch import Tensor

from dmsrl_adapt import AugmentHook, BackboneHook, keys
from dmsrl_adapt.hooks.backbone import run_backbone
from dmsrl_adapt.losses import class_probs

from .method import Method, Setup, Space, Trainable, with_variants
from .source_only import classifier


def fixmatch_loss(logits: Tensor, probs: Tensor, threshold: float) -> Tensor:
    """Returns the cross entropy of the strong view with the weak view's class, in nats, a scalar.

    Samples whose largest probability is below the threshold count in the mean and add nothing.

    Args:
        logits: of the strong view, shape (N, K).
        probs: class probabilities of the weak view, shape (N, K), without a gradient.
        threshold: 0..1.

    Examples:
        >>> fixmatch_loss(torch.zeros(2, 2), torch.tensor([[0.96, 0.04], [0.5, 0.5]]), threshold=0.95)
        tensor(0.3466)
    """
    confidence, labels = probs.max(1)
    losses = F.cross_entropy(logits.float(), labels, reduction="none")
    return (losses * (confidence >= threshold)).sum() / max(len(losses), 1)


class FixMatchHook(BaseHook):
    """FixMatch's loss of the target batch. The weak view is the image itself, the strong view the augmented image.

    The weak view takes one more forward pass of the whole batch, without a gradient. Feature vectors without augmented
    copies have no strong view. Then the loss is the cross entropy with pseudo labels above the threshold, on the sample
    itself, without a further pass.

    Modules: `G`, `C`. Reads: `target_imgs`, `target_imgs_augmented_rows`, `target_imgs_features_logits`, computed if
    missing. Writes: the features and logits it had to compute. Loss: `consistency_loss` in nats.
    """

    def __init__(self, threshold: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold
        self.f_hook = FeaturesAndLogitsHook(domains=[keys.TARGET])

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the outputs and the loss."""
        outputs = self.f_hook(inputs, losses)[0]
        logits = (inputs | outputs)[keys.logits(keys.TARGET)]
        probs = class_probs(logits)
        if len(inputs[keys.augmented_rows(keys.TARGET)]):
            weak = {key: value for key, value in inputs.items() if key != keys.network_input(keys.TARGET)}
            with torch.no_grad():
                probs = class_probs(inputs[keys.C](run_backbone(self, weak, keys.TARGET)))
        return outputs, {keys.CONSISTENCY_LOSS: fixmatch_loss(logits, probs, self.threshold)}

    def _loss_keys(self) -> list[str]:
        return [keys.CONSISTENCY_LOSS]

    def _out_keys(self) -> list[str]:
        return list(self.f_hook.out_keys)


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's `Classifier` with the target augmented as in our target consistency, and the hook."""
    probability, strength = settings["probability"], settings["affine_strength"]
    views = [AugmentHook(keys.TARGET, probability, affine_strength=strength), BackboneHook([keys.TARGET])]
    weighter = SumWeighter(weights={keys.CONSISTENCY_LOSS: settings["weight"]})
    return classifier(setup, settings, [FixMatchHook(settings["threshold"])], weighter, pre=views)


# in the paper every image has a strong view
SETTINGS = {"weight": 1.0, "threshold": 0.95, "probability": 1.0, "affine_strength": 1.0}
SPACE: Space = {"weight": (0.1, 3.0), "threshold": [0.7, 0.8, 0.9, 0.95], "probability": [0.5, 1.0]}
METHODS = with_variants(Method("fixmatch", build, SETTINGS, space=SPACE))
