"""Hook: the whole method in one training step."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from pytorch_adapt.hooks import (
    ChainHook,
    CLossHook,
    FeaturesAndLogitsHook,
    MCCHook,
)
from pytorch_adapt.hooks.base import BaseHook, BaseWrapperHook
from pytorch_adapt.hooks.optimizer import OptimizerHook, SummaryHook
from pytorch_adapt.weighters import BaseWeighter, SumWeighter
from torch import nn

from .. import keys
from ..losses import MinimumClassConfusionLoss, OverClassifiers
from ..recipe import Recipe, get_recipe
from .augment import AugmentHook
from .backbone import BackboneHook
from .batch_check import check_batch
from .collapse import CollapseHook
from .consistency import ConsistencyHook
from .context import read
from .known_target_labels import KnownTargetLabelsHook
from .margin_metric import MarginMetricHook
from .mi_minimization import MIMinimizationHook
from .progress import ProgressHook
from .pseudo_label import PseudoLabelHook
from .source_accuracy import SourceAccuracyHook
from .two_branch_mi import TwoBranchMIHook
from .warm_up import WarmUpHook


class DMSRLHook(BaseWrapperHook):
    """One training step of DMSRL, optimizer included: classification, category margin, mutual information.

    Modules: `G`, `C`, and those that `dmsrl_components` gives for the recipe. Reads: `src_imgs`, `src_labels`,
    `target_imgs`, `target_sample_idx`; `src_imgs_augmented` and `target_imgs_augmented` where the batch brings another
    style, see `AugmentHook`; `target_labels` where some are known, see `KnownTargetLabelsHook`; `progress` where a loop
    gives its own. Writes: features and logits of both domains, `progress`, and pseudo labels where the recipe has a
    labeller. Loss: `total_loss`, a dict of the weighted parts and their `total`. The step is counted in
    `training_progress` once the optimizers have stepped.

    Args:
        opts: optimizers of all trained modules, or their names in the context (`G_opt`, ...). That no module was
            forgotten is checked at the first call, for optimizers, not for names.
        recipe: "default", "published" or a `Recipe`; the same as for `dmsrl_components`.
        weighter: weighs and adds the losses; None for a `SumWeighter` with the weights of the recipe.
        reducer: makes numbers of losses of single samples; None for their mean.
        pre: hooks before features are computed, for example `LevelFeaturesHook`, whose features are then used: those of
            the images in the recipe's style.
        post: hooks after the losses of the recipe; give their weights in `weighter`.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing; the error names the hook and the key.
        ValueError: an unknown recipe; a module of which no optimizer has a parameter, unless all are frozen; images
            that are not finite, labels, indices or progress of the wrong shape or out of range. Such a batch is refused
            before G sees it, and leaves everything as it was.
        TypeError: labels or indices that are not integers, likewise.

    Reference:
        Li et al., IEEE Transactions on Multimedia, 2022, doi 10.1109/tmm.2022.3141604.

    Examples:
        >>> from dmsrl_adapt import dmsrl_components
        >>> parts = dmsrl_components(feature_dim=8, num_classes=3, num_target=100)
        >>> models = {"G": nn.Linear(4, 8), "C": nn.Linear(8, 3), **parts.models}
        >>> optimizer = torch.optim.Adam([p for model in models.values() for p in model.parameters()])
        >>> batch = {"src_imgs": torch.ones(2, 4), "src_labels": torch.tensor([0, 1])}
        >>> batch |= {"target_imgs": torch.ones(2, 4), "target_sample_idx": torch.tensor([5, 7])}
        >>> outputs, losses = DMSRLHook([optimizer])({**models, **parts.misc, **batch})
        >>> sorted(losses["total_loss"])[:3]
        ['consistency_loss', 'margin_metric_loss', 'mcc_loss']
    """

    def __init__(
        self,
        opts: Sequence[torch.optim.Optimizer] | Sequence[str],
        recipe: str | Recipe = "default",
        weighter: BaseWeighter | None = None,
        reducer: BaseHook | None = None,
        pre: Sequence[BaseHook] = (),
        post: Sequence[BaseHook] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.recipe = get_recipe(recipe)
        # the recipe's hooks check features, so they come before anything that would fail on them less clearly
        first = [
            ProgressHook(advance=False),
            *style_hooks(self.recipe),
            *pre,
            BackboneHook(),
            FeaturesAndLogitsHook(),
        ]
        parts = [*first, *recipe_hooks(self.recipe), CLossHook(source_loss(self.recipe))]
        weighter = SumWeighter(weights=self.recipe.loss_weights) if weighter is None else weighter
        self.opts: list[Any] = list(opts)
        self.are_opts_checked = any(isinstance(opt, str) for opt in opts)  # names, whose optimizers come with a batch
        self.collapse = CollapseHook()
        step = OptimizerHook(ChainHook(*parts, *post, self.collapse), self.opts, weighter, reducer)
        self.hook = ChainHook(step, SummaryHook({"total_loss": step}))

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        trained = {key: read(self, inputs, key) for key in (keys.G, keys.C, *self.recipe.model_keys)}
        layers = {key: read(self, inputs, key) for key in (*self.recipe.model_keys, *self.recipe.misc_keys)}
        if not self.are_opts_checked:
            check_opts(self.opts, trained)
            self.are_opts_checked = True
        inputs = {**inputs, keys.SRC_LABELS: check_batch(self, inputs, layers)}
        result: tuple[dict[str, Any], dict[str, Any]] = self.hook(inputs, losses)
        inputs[keys.TRAINING_PROGRESS].advance()
        return result


def check_opts(opts: Iterable[torch.optim.Optimizer], modules: Mapping[str, nn.Module]) -> None:
    """Raises `ValueError` for a module of which no optimizer has a parameter, which would then never learn.

    One that has some of a module's parameters is taken to have what is to be trained. Frozen parameters need none.
    """
    held = {id(parameter) for opt in opts for group in opt.param_groups for parameter in group["params"]}
    for key, module in modules.items():
        trainable = {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
        if trainable and held.isdisjoint(trainable):
            raise ValueError(f"opts must hold parameters of {key!r}, got none; freeze it if it is not to be trained")


def source_loss(recipe: Recipe) -> nn.Module:
    """Gives the classification loss of the source, one value a sample, as upstream's hook wants it."""
    return nn.CrossEntropyLoss(reduction="none", label_smoothing=recipe.label_smoothing)


def style_hooks(recipe: Recipe) -> list[BaseHook]:
    """Gives the hooks that say what G is to see of each domain, where it is not the images as they are."""
    target = recipe.view_probability if recipe.view_weight > 0 else 0.0
    shares = ((keys.SRC, recipe.style_probability, recipe.style_by_skill), (keys.TARGET, target, False))
    return [
        AugmentHook(domain, share, affine_strength=recipe.affine_strength, accuracy_gate=accuracy_gate)
        for domain, share, accuracy_gate in shares
        if share > 0
    ]


def recipe_hooks(recipe: Recipe) -> list[BaseHook]:
    """Gives the hooks of a recipe's parts, in the order in which they read from one another."""
    hooks: list[BaseHook] = []
    if recipe.labeler is not None:
        hooks.append(PseudoLabelHook(ramp=recipe.label_ramp))
    if recipe.margin is not None:
        hooks.append(ramped(MarginMetricHook(), recipe.margin_ramp))
    if recipe.mi == "two_branch":
        hooks.append(TwoBranchMIHook(ramp=recipe.mi_ramp, images_only=recipe.mi_images_only))
    elif recipe.mi is not None:
        settings: dict[str, Any] = {
            "entropy_conditioning": recipe.mi_entropy_conditioning,
            "images_only": recipe.mi_images_only,
        }
        hooks.append(MIMinimizationHook(recipe.mi == "conditional", ramp=recipe.mi_ramp, **settings))
    if recipe.confusion_weight > 0:
        confusion = OverClassifiers(MinimumClassConfusionLoss(T=recipe.confusion_temperature))
        hooks.append(ramped(MCCHook(loss_fn=confusion), recipe.confusion_ramp))
    if recipe.view_weight > 0:
        hooks.append(ramped(ConsistencyHook(), recipe.view_ramp))
    if recipe.follows_skill:
        hooks.append(SourceAccuracyHook())  # after those that refuse features which are not finite
    return [*hooks, KnownTargetLabelsHook(recipe.label_smoothing)]


def ramped(hook: BaseHook, is_ramped: bool) -> BaseHook:
    """Gives the hook, its losses rising with training where they are to."""
    return WarmUpHook(hook) if is_ramped else hook
