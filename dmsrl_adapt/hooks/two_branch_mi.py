"""Hook: minimisation of an upper bound on the mutual information between features and a domain-sensitive branch."""

from typing import Any

import torch
from pytorch_adapt.hooks import FeaturesHook
from pytorch_adapt.hooks.base import BaseHook

from .. import keys
from ..training import WarmUp
from .context import domain_numbers, read, read_progress


class TwoBranchMIHook(BaseHook):
    """Lowers an upper bound on the mutual information of two branches, one domain-invariant and one domain-sensitive.

    The domain-invariant branch is the output of G, because C(G(x)) predicts. The domain-sensitive branch is a small
    network on that output, used in training only, which learns to predict the domain. The features learn to share no
    information with it. The gradient of the bound reaches G, through the features, and the branch. The estimator learns
    by maximum likelihood in the same step. No gradient reaches C, and none reaches G from the losses of branch and
    estimator. Give branch and estimator a larger learning rate than G, as `DMSRL` does: the bound holds only while they
    keep up with the features.

    Modules: `G` (for missing features), `mi_branch` (models; `DomainBranch`), `mi_estimator` (models; `CLUBLoss`).
    Reads: `src_imgs_features`, `target_imgs_features`; `progress` where present.
    Writes: the features it had to compute. Losses: `mi_loss`, the bound; `mi_estimator_loss`, the estimator's negative
    log likelihood; `mi_branch_loss`, the branch's cross entropy; all in nats.

    Args:
        strength: factor >= 0 on the bound's gradient.
        warmup: of the strength.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.
        ValueError: a negative strength; from the layers, on wrong shapes, NaN features.

    Reference:
        Li et al., IEEE Transactions on Multimedia, 2022, doi 10.1109/tmm.2022.3141604, for the aim; Cheng et al., ICML
        2020, arXiv 2006.12013, for the bound.

    Examples:
        >>> from dmsrl_adapt.losses import CLUBLoss, DomainBranch
        >>> branch = DomainBranch(feature_dim=2)
        >>> context = {"mi_branch": branch, "mi_estimator": CLUBLoss(2, branch.branch_dim)}
        >>> context |= {"src_imgs_features": torch.eye(2), "target_imgs_features": torch.eye(2)}
        >>> outputs, losses = TwoBranchMIHook()(context)
        >>> sorted(losses)
        ['mi_branch_loss', 'mi_estimator_loss', 'mi_loss']
    """

    def __init__(self, strength: float = 1.0, warmup: WarmUp | str = WarmUp.LINEAR, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if strength < 0:
            raise ValueError(f"strength must be at least 0, got {strength}")
        self.strength, self.warmup = strength, WarmUp(warmup)
        self.f_hook = FeaturesHook(domains=keys.DOMAINS)

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        branch, estimator = (read(self, inputs, key) for key in (keys.MI_BRANCH, keys.MI_ESTIMATOR))
        outputs = self.f_hook(inputs, losses)[0]
        context = inputs | outputs
        features = torch.cat([context[keys.features(domain)] for domain in keys.DOMAINS])
        domains = domain_numbers(context)
        strength = self.strength * self.warmup(read_progress(inputs))
        sensitive = branch(features, domains)
        club = estimator(features, sensitive.features, strength)
        own = {keys.MI_ESTIMATOR_LOSS: club.estimator, keys.MI_BRANCH_LOSS: sensitive.loss}
        return outputs, {keys.MI_LOSS: club.bound, **own}

    def _loss_keys(self) -> list[str]:
        return [keys.MI_LOSS, keys.MI_ESTIMATOR_LOSS, keys.MI_BRANCH_LOSS]

    def _out_keys(self) -> list[str]:
        return list(self.f_hook.out_keys)
