"""Hook: one training step of the whole method."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from pytorch_adapt.hooks import ChainHook, FeaturesAndLogitsHook
from pytorch_adapt.hooks.base import BaseHook
from pytorch_adapt.hooks.optimizer import OptimizerHook, SummaryHook
from pytorch_adapt.weighters import BaseWeighter, SumWeighter
from torch import nn

from . import keys
from .hooks import BackboneHook, ProgressHook
from .hooks.context import read
from .hooks.weighters import StepWeighter
from .recipe import Recipe, get_recipe
from .recipe_hook import RecipeHook, check_opts


class DMSRLHook(RecipeHook):
    """One training step of DMSRL, including the optimizer steps: runs the parts of a recipe in their order.

    Modules: `G`, `C`, and those of `dmsrl_components`. Reads: `src_imgs`, `src_labels`, `target_imgs`,
    `target_sample_idx`; `src_imgs_augmented` and `target_imgs_augmented` where present, see `AugmentHook`;
    `src_imgs_landmarks` and other inputs of G where present, see `BackboneHook`; `target_labels` if the recipe has
    `KnownTargetLabels`; `progress` where present. Writes: features and logits of both domains, `progress`, and the keys
    of the parts. Loss: `total_loss`, a dict of the weighted losses and their `total`. The step is counted in
    `training_progress` after the optimizer steps.

    Args:
        opts: optimizers of all trained modules, or their names in the context (`G_opt`, ...). The first call checks
            that every module has an optimizer, unless names are given.
        recipe: for modules that were not made by `dmsrl_components`: "default", "published" or a `Recipe`. None uses
            the recipe of the modules of the first call, or the default if they have none.
        weighter: weighs and adds the losses; None for a `SumWeighter` with the weights of the recipe.
        reducer: reduces losses of single samples to scalars; None for their mean.
        pre: hooks before features are computed and after augmentation, for example `LevelFeaturesHook`, whose features
            are then used.
        post: hooks after those of the recipe; give the weights of their losses in `weighter`.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing; the error names the hook and the key.
        ValueError: an unknown recipe, or not that of the modules; a module without a parameter in any optimizer, unless
            all its parameters are frozen; images that are not finite; labels, indices or progress of the wrong shape or
            out of range. An invalid batch is refused before the forward pass and changes nothing. So is one whose
            features or logits are not finite, before the optimizers; only batch statistics of the networks have moved.
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
        recipe: str | Recipe | None = None,
        weighter: BaseWeighter | None = None,
        reducer: BaseHook | None = None,
        pre: Sequence[BaseHook] = (),
        post: Sequence[BaseHook] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(ChainHook(ProgressHook(advance=False)), **kwargs)
        self.opts: list[Any] = list(opts)
        self.weighter, self.reducer, self.pre, self.post = weighter, reducer, list(pre), list(post)
        if recipe is not None:
            self._build(get_recipe(recipe))

    def _build(self, given: Recipe) -> None:
        self.given = self.recipe = recipe = given
        first = [ProgressHook(advance=False), *(hook for part in recipe for hook in part.hooks_before())]
        features = [*self.pre, BackboneHook(), FeaturesAndLogitsHook()]
        parts = [hook for part in recipe for hook in part.hooks()]
        weighter = self.weighter or SumWeighter(weights=recipe.loss_weights)
        check_losses(recipe, parts)
        chain = ChainHook(*first, *features, *parts, *self.post, self.collapse, self.finite)
        step = OptimizerHook(chain, self.opts, StepWeighter(weighter, self.finite), self.reducer)
        self.hook = ChainHook(step, SummaryHook({"total_loss": step}))

    def _check_inputs(self, inputs: Mapping[str, Any], modules: Mapping[str, nn.Module]) -> None:
        for key in (keys.G, keys.C):
            read(self, inputs, key)

    def _check_opts(self, inputs: Mapping[str, Any], recipe: Recipe) -> None:
        if not any(isinstance(opt, str) for opt in self.opts):  # names are looked up in each batch
            check_opts(self.opts, {key: read(self, inputs, key) for key in (keys.G, keys.C, *recipe.model_keys)})


def check_losses(recipe: Recipe, hooks: Iterable[BaseHook]) -> None:
    """Raises `ValueError` for a recipe without a loss, or with the weight of a loss that its hooks do not have."""
    made = sorted({key for hook in hooks for key in hook.loss_keys})
    if unknown := sorted(set(recipe.loss_weights) - set(made)):
        raise ValueError(f"loss_weights of parts must be of {made}, got {unknown}")
    if not made:
        raise ValueError(f"recipe must have a part with a loss, got {recipe}")
