"""Hook: features and logits through networks that the host method keeps fixed."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_adapt.hooks import FeaturesHook, FrozenModelHook
from pytorch_adapt.hooks.base import BaseHook
from torch import nn
from torch.func import functional_call

from .. import keys
from .context import read


class FixedNetworksHook(BaseHook):
    """Computes features and logits without a gradient to the networks that the host keeps fixed.

    G computes the features of `domains` in evaluation mode and without a gradient, by upstream's `FrozenModelHook`;
    features that the host has already computed are reused. With `fixes_classifier`, C computes the logits of both
    domains in evaluation mode: the gradient flows through C to the features, but not to the parameters of C.

    Modules: `G`, and `C` if it is fixed. Reads: `src_imgs_features_detached` or `src_imgs`, and those of the target;
    for a domain that is not fixed, its features. Writes: `src_imgs_features`, `src_imgs_features_detached`, and those
    of the target; `src_imgs_features_logits`, `target_imgs_features_logits` where C is fixed. No losses.

    Args:
        domains: domains for which G is fixed.
        fixes_classifier: whether C is fixed too.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.

    Examples:
        >>> import torch
        >>> images = {"src_imgs": torch.ones(4, 3), "target_imgs": torch.ones(4, 3)}
        >>> outputs, losses = FixedNetworksHook()({"G": nn.Linear(3, 2), **images})
        >>> outputs["src_imgs_features"].requires_grad
        False
    """

    def __init__(self, domains: Sequence[str] = keys.DOMAINS, fixes_classifier: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.domains, self.fixes_classifier = tuple(domains), fixes_classifier
        self.f_hook = FrozenModelHook(FeaturesHook(detach=True, domains=list(domains)), keys.G)

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        outputs = dict(self.f_hook(inputs, losses)[0])
        context = inputs | outputs
        outputs |= {keys.features(domain): context[f"{keys.features(domain)}_detached"] for domain in self.domains}
        return {**outputs, **self._logits(inputs | outputs)}, {}

    def _logits(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the logits of both domains by a fixed C; {} if C is trained."""
        if not self.fixes_classifier:
            return {}
        classifier: nn.Module = read(self, context, keys.C).eval()
        tensors = {name: tensor.detach() for name, tensor in classifier.state_dict(keep_vars=True).items()}
        features = {domain: read(self, context, keys.features(domain)) for domain in keys.DOMAINS}
        return {keys.logits(domain): functional_call(classifier, tensors, rows) for domain, rows in features.items()}

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        logits = list(map(keys.logits, keys.DOMAINS)) if self.fixes_classifier else []
        return [*self.f_hook.out_keys, *map(keys.features, self.domains), *logits]
