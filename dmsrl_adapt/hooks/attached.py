"""Hook: the training step of another method with parts of DMSRL inside."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from pytorch_adapt.hooks import (
    ADDAHook,
    ChainHook,
    FinetunerHook,
    MCDHook,
    MultiLabelClassifierHook,
    MultiLabelFinetunerHook,
    VADAHook,
)
from pytorch_adapt.hooks.base import BaseHook, BaseWrapperHook
from pytorch_adapt.hooks.optimizer import OptimizerHook, SummaryHook

from .. import keys
from ..recipe import DEFAULT, PARTS, Recipe, get_recipe
from .backbone import BackboneHook
from .batch_check import check_batch
from .collapse import CollapseHook
from .context import read
from .dmsrl import check_opts, recipe_hooks, style_hooks
from .fixed_networks import FixedNetworksHook
from .host_weighter import HostWeighter
from .progress import ProgressHook

# names of the step that trains G, with the source's labels where several do
STEPS = ("total_loss", "g_loss", "x_loss")
# what a host that has the part already leaves in the context or among its losses
TRACES = {
    "margin": keys.MARGIN_METRIC_LOSS,
    "mi": keys.MI_LOSS,
    "prototypes": keys.TARGET_PSEUDO_LABELS,
    "style": keys.network_input(keys.SRC),
    "view": keys.CONSISTENCY_LOSS,
    "confusion": keys.CONFUSION_LOSS,
}
FIXED_G = "it keeps G fixed, and this part is for a G that learns"
ONE_LABEL = "its samples have several labels each, and this part is for samples with one"
SAME_IMAGE = "its virtual adversarial loss compares an image with itself, which an image in another style is not"
# the first class of which a host is an instance says why
REFUSALS: tuple[tuple[type[BaseHook], dict[str, str]], ...] = (
    (MultiLabelClassifierHook, dict.fromkeys(PARTS, ONE_LABEL)),
    (MultiLabelFinetunerHook, dict.fromkeys(PARTS, ONE_LABEL)),
    (FinetunerHook, dict.fromkeys(("margin", "mi", "style", "view"), FIXED_G)),
    (
        ADDAHook,
        {
            "style": "it keeps the source's network fixed, which has never seen another style",
            "view": "its network of the target is not G, which this part asks about images as they are",
        },
    ),
    (VADAHook, dict.fromkeys(("style", "view"), SAME_IMAGE)),
)


class AttachedHook(BaseWrapperHook):
    """One training step of a host, a method of pytorch-adapt, with parts of DMSRL in it. `attach_dmsrl` makes it.

    The parts' losses are added to the step that trains G: the only one of most methods, the generator's of GAN-like
    ones and SymNets, the first of MCD's three. Nothing that the host keeps fixed in that step learns from them. The
    host's losses keep the weights that its own weighter gives them, and are to the last bit what they were where ours
    weigh 0; a style, which is another input, is the exception. Features and logits that the host has computed are used
    again.

    Modules: the host's, and those that `dmsrl_components` gives for the recipe. Reads: what the host reads, and
    `src_imgs`, `src_labels`, `target_imgs`, `target_sample_idx`; `progress` where a loop gives its own. Writes: what
    the host writes, and what the parts write. Losses: the host's, with the weighted parts among those of that step.
    The step is counted in `training_progress` once it is done.

    Args:
        host: a training hook of pytorch-adapt, such as `DANNHook(opts)`; it belongs to this one from now on.
        recipe: "default", "published" or a `Recipe`; None for the default without the parts that the host refuses. The
            classification loss stays the host's.
        opts: optimizers of the recipe's modules, or their names where the host's are given by name; none where the
            host's own optimizers of that step hold their parameters.
        pre: hooks before the host's, for example `LevelFeaturesHook`, after the images got their style.
        post: hooks after the recipe's.
        weights: weights of the losses of `post`, 1 where they are not named, or other ones for those of the recipe.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        TypeError: the host has no step that trains G, or names some optimizers and holds others.
        ValueError: the host refuses a part of the recipe, and says why; an unknown recipe; weights of losses that are
            not there; at the first call, a module of which no optimizer of that step has a parameter; a batch as
            `DMSRLHook` refuses it, before the host has seen it.
        KeyError: at a call, a module or key is missing.

    Examples:
        >>> from pytorch_adapt.hooks import ClassifierHook
        >>> from torch import nn
        >>> from dmsrl_adapt import dmsrl_components
        >>> parts = dmsrl_components(feature_dim=8, num_classes=3, num_target=100)
        >>> models = {"G": nn.Linear(4, 8), "C": nn.Linear(8, 3), **parts.models}
        >>> optimizer = torch.optim.Adam([p for model in models.values() for p in model.parameters()])
        >>> batch = {"src_imgs": torch.ones(2, 4), "src_labels": torch.tensor([0, 1])}
        >>> batch |= {"target_imgs": torch.ones(2, 4), "target_sample_idx": torch.tensor([5, 7])}
        >>> outputs, losses = AttachedHook(ClassifierHook([optimizer]))({**models, **parts.misc, **batch})
        >>> sorted(losses["total_loss"])[:3]
        ['consistency_loss', 'margin_metric_loss', 'mcc_loss']
    """

    def __init__(
        self,
        host: BaseHook,
        recipe: str | Recipe | None = None,
        opts: Sequence[torch.optim.Optimizer] | Sequence[str] = (),
        pre: Sequence[BaseHook] = (),
        post: Sequence[BaseHook] = (),
        weights: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        step = training_step(host)
        self.recipe = fitting_recipe(host, recipe)
        first = pre_hooks(host, self.recipe, pre)
        self.collapse = CollapseHook()
        ours = [*fixed_networks(host), *recipe_hooks(self.recipe), *post, self.collapse]
        all_weights = loss_weights(self.recipe, ours, weights or {})
        check_kinds(step.optimizers, opts)
        # nothing of the host has changed up to here
        step.optimizers = [*step.optimizers, *opts]
        step.weighter = HostWeighter(step.weighter, all_weights)
        # MCD computes features anew in each of its steps, so they have to begin in the one that they are for
        if isinstance(host, MCDHook):
            step.hook, self.hook = ChainHook(*first, step.hook, *ours), host
        else:
            step.hook, self.hook = ChainHook(step.hook, *ours), ChainHook(*first, host)
        self.step, self.are_opts_checked = step, False

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        models = {key: read(self, inputs, key) for key in self.recipe.model_keys}
        misc = {key: read(self, inputs, key) for key in self.recipe.misc_keys}
        if not self.are_opts_checked:
            opts = [read(self, inputs, opt) if isinstance(opt, str) else opt for opt in self.step.optimizers]
            check_opts(opts, models)
            self.are_opts_checked = True
        check_batch(self, inputs, {**models, **misc})
        result: tuple[dict[str, Any], dict[str, Any]] = self.hook(inputs, losses)
        misc[keys.TRAINING_PROGRESS].advance()
        return result


def training_step(host: BaseHook) -> OptimizerHook:
    """Gives the host's step in which our losses belong. Raises `TypeError` where it has none."""
    hooks = getattr(getattr(host, "hook", None), "hooks", ())
    steps = {key: step for one in hooks if isinstance(one, SummaryHook) for key, step in one.optimizers.items()}
    for key in STEPS:
        if key in steps:
            return steps[key]
    came = type(host).__name__
    raise TypeError(f"host must be a training hook of pytorch-adapt, with an optimizer step of its own, got {came}")


def refused_parts(host: BaseHook) -> dict[str, str]:
    """Gives the parts that the host cannot or need not have, and why."""
    written = {*host.out_keys, *training_step(host).hook.loss_keys}
    refused = {part: f"it has {key!r} already" for part, key in TRACES.items() if key in written}
    return next((reasons for kind, reasons in REFUSALS if isinstance(host, kind)), {}) | refused


def fitting_recipe(host: BaseHook, recipe: str | Recipe | None) -> Recipe:
    """Gives the recipe; for None the default without the parts that the host refuses.

    Raises `ValueError` for a part of the recipe that the host refuses, and where no part is left.
    """
    refused = refused_parts(host)
    if recipe is None:
        wanted = [part for part in DEFAULT.parts if part not in refused] or DEFAULT.parts
        fitting = reduce(Recipe.without, set(DEFAULT.parts) - set(wanted), DEFAULT)
    else:
        fitting = get_recipe(recipe)
    wrong = {part: refused[part] for part in fitting.parts if part in refused}
    if isinstance(host, ADDAHook) and "margin" in fitting.parts and "prototypes" not in {*fitting.parts, *refused}:
        wrong["margin"] = "it keeps the source's network fixed, and without prototypes no target sample has a label"
    if wrong:
        raise ValueError(f"recipe must not have parts that {type(host).__name__} refuses: {told(wrong)}")
    return fitting


def told(reasons: Mapping[str, str]) -> str:
    """Gives parts and reasons in words, parts with the same reason together."""
    parts = {reason: [part for part, own in reasons.items() if own == reason] for reason in reasons.values()}
    return "; ".join(f"{', '.join(of_reason)}: {reason}" for reason, of_reason in parts.items())


def pre_hooks(host: BaseHook, recipe: Recipe, pre: Sequence[BaseHook]) -> list[BaseHook]:
    """Gives what comes before the host: progress, styles, `pre`, and the features of styled images.

    Raises `ValueError` for `pre` where the host keeps a network fixed: features of G would train it.
    """
    if pre and fixed_networks(host):
        raise ValueError(f"pre must be empty for {type(host).__name__}, which computes features with a fixed network")
    styles = style_hooks(recipe)
    styled = [BackboneHook([hook.domain for hook in styles])] if styles else []
    return [ProgressHook(advance=False), *styles, *pre, *styled]


def fixed_networks(host: BaseHook) -> list[BaseHook]:
    """Gives the hook that keeps our gradient from what the host keeps fixed, where it does."""
    if isinstance(host, FinetunerHook):
        return [FixedNetworksHook()]
    return [FixedNetworksHook([keys.SRC], fixes_classifier=True)] if isinstance(host, ADDAHook) else []


def loss_weights(recipe: Recipe, hooks: Sequence[BaseHook], weights: Mapping[str, float]) -> dict[str, float]:
    """Gives the weight of every loss of the hooks. Raises `ValueError` for a weight of another loss."""
    losses = sorted({key for hook in hooks for key in hook.loss_keys})
    unknown = sorted(set(weights) - set(losses))
    if unknown:
        raise ValueError(f"weights must be of {losses}, got {unknown}")
    return {key: weights.get(key, recipe.loss_weights.get(key, 1.0)) for key in losses}


def check_kinds(of_host: Sequence[Any], opts: Sequence[Any]) -> None:
    """Raises `TypeError` where one names its optimizers and the other holds them: upstream takes one kind only."""
    kinds = {"names" if isinstance(opt, str) else "optimizers" for opt in (*of_host, *opts)}
    if len(kinds) > 1:
        wanted, came = ("names", "optimizers") if isinstance(of_host[0], str) else ("optimizers", "names")
        raise TypeError(f"opts must be {wanted}, as the host's are, got {came}")
