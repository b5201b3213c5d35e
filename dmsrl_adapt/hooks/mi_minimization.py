"""Hook: adversarial minimisation of the mutual information between features and domain."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_adapt.hooks import FeaturesAndLogitsHook, FeaturesHook
from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor, nn

from .. import keys
from ..checks import check_labels
from ..losses.class_probs import certainty, with_known_classes
from ..one_hot import members
from ..training import WarmUp
from .context import domain_numbers, num_domains, read, read_class_probs, read_progress
from .known_target_labels import read_known_labels
from .level_parts import check_level_weights, read_parts, weighted_sum


class MIMinimizationHook(BaseHook):
    """Lowers the mutual information between features and domain by a domain critic behind gradient reversal.

    The critic is trained by the same loss, so there is no `mi_estimator_loss`; see `TwoBranchMIHook` for a form with
    one.

    Modules: `G` and, in the conditional form, `C` (for missing features and logits), `mi_critic` (models;
    `AdversarialMILoss`, for several sources with `num_domains` one above their number); with levels, one per level,
    such as `mi_critic_level_global`. Reads: `src_imgs_features`, `target_imgs_features`; `progress` where present;
    `src_domain` and `target_domain` for several sources; in the conditional form
    `src_labels`, `target_imgs_features_logits`, and `target_known_labels` where present; with levels, keys such as
    `src_imgs_level_global` of a `LevelFeaturesHook`. Writes: the features and logits it had to compute. Loss:
    `mi_loss`, the critic's cross entropy in nats.

    Args:
        conditional: lower I(feature; domain | class) with a class-wise critic, made with `num_classes`; False for the
            published I(feature; domain).
        strength: factor >= 0 on the gradient that reaches the features.
        entropy_conditioning: in the conditional form, weight target samples by `certainty`, as CDAN+E does. Wrong class
            probabilities align wrong classes, and most of them are uncertain.
        warmup: of the strength.
        levels: weights, at least 0, by the name of a level, of a sum over levels; None for the fused feature. Class
            probabilities are those of the fused feature in either case.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.
        ValueError: no level or a negative weight; from the layer, on wrong shapes, labels out of range, NaN features.

    Examples:
        >>> from dmsrl_adapt.losses import AdversarialMILoss
        >>> batch = {"src_imgs_features": torch.eye(2), "target_imgs_features": torch.eye(2)}
        >>> hook = MIMinimizationHook(conditional=False)
        >>> outputs, losses = hook({"mi_critic": AdversarialMILoss(feature_dim=2), **batch})
        >>> losses["mi_loss"].shape
        torch.Size([])
    """

    def __init__(
        self,
        conditional: bool = True,
        strength: float = 1.0,
        warmup: WarmUp | str = WarmUp.LINEAR,
        entropy_conditioning: bool = True,
        levels: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if strength < 0:
            raise ValueError(f"strength must be at least 0, got {strength}")
        self.conditional, self.strength, self.warmup = conditional, strength, WarmUp(warmup)
        self.entropy_conditioning = entropy_conditioning
        self.levels = check_level_weights(levels)
        f_hook = FeaturesAndLogitsHook if conditional else FeaturesHook
        self.f_hook = f_hook(domains=keys.DOMAINS)

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        parts = read_parts(self, inputs, keys.MI_CRITIC, keys.DOMAINS, self.levels)
        outputs = self.f_hook(inputs, losses)[0]
        context = inputs | outputs
        probs, weights = self._class_probs(context) if self.conditional else (None, None)
        strength = self.strength * self.warmup(read_progress(inputs))
        terms = [
            part.layer(part.features(context), self._domains(context, part.layer), probs, strength, weights)
            for part in parts
        ]
        return outputs, {keys.MI_LOSS: weighted_sum(parts, terms)}

    def _domains(self, context: Mapping[str, Any], layer: nn.Module) -> Tensor:
        """Returns the domain of each row, shape (N,): source or target, or the batch's numbers for several sources."""
        if num_domains(layer) == 2:
            return domain_numbers(context)
        return torch.cat([read(self, context, keys.domain_id(domain)) for domain in keys.DOMAINS])

    def _class_probs(self, context: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Returns class probabilities, shape (N, K), and sample weights, shape (N,).

        Samples of known class have one-hot probabilities and weight 1, other target samples the classifier's
        probabilities and, with entropy conditioning, their certainty as weight.
        """
        target = read_class_probs(context)
        num_source, num_classes = len(context[keys.features(keys.SRC)]), target.shape[1]
        labels = check_labels(read(self, context, keys.SRC_LABELS), num_source, num_classes, name=keys.SRC_LABELS)
        known = read_known_labels(context, len(target), num_classes)
        weights = certainty(target) if self.entropy_conditioning else torch.ones_like(target[:, 0])
        if known is not None:
            target, weights = with_known_classes(target, known), weights.masked_fill(known >= 0, 1.0)
        source = members(labels, num_classes).t().to(target)
        return torch.cat([source, target]), F.pad(weights, (num_source, 0), value=1.0)

    def _loss_keys(self) -> list[str]:
        return [keys.MI_LOSS]

    def _out_keys(self) -> list[str]:
        return list(self.f_hook.out_keys)
