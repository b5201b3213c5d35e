"""Hook: the training step of another method with parts of DMSRL."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pytorch_adapt.hooks import ADDAHook, ChainHook, FinetunerHook, MCDHook
from pytorch_adapt.hooks.base import BaseHook
from pytorch_adapt.hooks.optimizer import OptimizerHook, SummaryHook
from torch import nn

from . import keys
from .hooks import BackboneHook, FixedNetworksHook, ProgressHook
from .hooks.backbone import other_inputs
from .hooks.context import read
from .hooks.weighters import HostWeighter, StepWeighter
from .recipe import DEFAULT, Recipe, get_recipe
from .recipe_hook import RecipeHook, check_opts

# names of the step that trains G; if several do, of the one that uses the source's labels
STEPS = ("total_loss", "g_loss", "x_loss")


class AttachedHook(RecipeHook):
    """One training step of a host, a method of pytorch-adapt, with parts of DMSRL. Made by `attach_dmsrl`.

    The losses of the parts are added to the step that trains G: the only step of most methods, the generator's of
    GAN-like methods and SymNets, the first of MCD's three. They do not train what the host keeps fixed in that step.
    The host's losses keep the weights of its own weighter, and do not change by a bit if the weights of ours are 0,
    except by augmentation, which changes the input. Features and logits that the host has computed are reused. The
    classification loss stays the host's.

    Modules: the host's, and those of `dmsrl_components`. Reads: the keys of the host and of `DMSRLHook`. Writes: the
    keys of the host and of the parts. Losses: the host's, and in that step the weighted losses of the parts. A finished
    step is counted in `training_progress`.

    Args:
        host: a training hook of pytorch-adapt, such as `DANNHook(opts)`; it is modified and must not be used elsewhere.
        recipe: for modules that were not made by `dmsrl_components`: "default", "published" or a `Recipe`. None uses
            the recipe of the modules of the first call, or the default if they have none. Parts of the default that the
            host cannot have are left out; other recipes must not contain any.
        opts: optimizers of the recipe's modules, or their names if the host's optimizers are given by name. Not needed
            if the host's own optimizers of that step hold their parameters.
        pre: hooks before the host's and after augmentation, for example `LevelFeaturesHook`.
        post: hooks after the recipe's.
        weights: weights by loss key, of the losses of `post` (default 1), or replacing those of the recipe.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        TypeError: the host has no step that trains G; optimizers and names are mixed.
        ValueError: the recipe has a part that the host cannot have (the message gives the reason); an unknown recipe,
            or not that of the modules; weights of unknown losses; a module without a parameter in any optimizer of that
            step; an invalid batch, as for `DMSRLHook`, before the host sees it; other inputs of G than images for a
            host that computes features itself. With a recipe of None these are raised at the first call.
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
        super().__init__(host, **kwargs)
        self.step = training_step(host)
        check_kinds(self.step.optimizers, opts)
        if pre and fixed_networks(host):
            raise ValueError(
                f"pre must be empty for {type(host).__name__}, which computes features with a fixed network"
            )
        self.host, self.opts, self.pre, self.post, self.weights = host, list(opts), list(pre), list(post), weights or {}
        if recipe is not None:
            self._build(get_recipe(recipe))

    def _build(self, given: Recipe) -> None:
        """Adds the recipe to the host. The host is changed last, so that an error leaves it as it was."""
        recipe = fitting_recipe(self.host, given)
        augments = [hook for part in recipe for hook in part.hooks_before()]
        first = [ProgressHook(advance=False), *augments, *self.pre, BackboneHook(where_needed=True)]
        parts = [hook for part in recipe for hook in part.hooks()]
        ours = [*fixed_networks(self.host), *parts, *self.post, self.collapse, self.finite]
        all_weights = loss_weights(recipe, ours, self.weights)
        self.given, self.recipe = given, recipe  # with and without the parts that the host cannot have
        self.step.optimizers = [*self.step.optimizers, *self.opts]
        self.step.weighter = StepWeighter(HostWeighter(self.step.weighter, all_weights), self.finite)
        # MCD computes features in each of its steps, so ours are computed inside its first step
        if isinstance(self.host, MCDHook):
            self.step.hook = ChainHook(*first, self.step.hook, *ours)
        else:
            self.step.hook, self.hook = ChainHook(self.step.hook, *ours), ChainHook(*first, self.host)

    def _check_opts(self, inputs: Mapping[str, Any], recipe: Recipe) -> None:
        opts = [read(self, inputs, opt) if isinstance(opt, str) else opt for opt in self.step.optimizers]
        check_opts(opts, {key: read(self, inputs, key) for key in recipe.model_keys})

    def _check_inputs(self, inputs: Mapping[str, Any], modules: Mapping[str, nn.Module]) -> None:
        if not (isinstance(self.host, MCDHook) or fixed_networks(self.host)):
            return
        for domain in keys.DOMAINS:
            if others := list(other_inputs(read(self, inputs, keys.G), inputs, domain)):
                name = type(self.host).__name__
                raise ValueError(f"{name} calls G with images only, got {others} too: train without them or with DMSRL")


def training_step(host: BaseHook) -> OptimizerHook:
    """Returns the host's step to which losses are added. Raises `TypeError` if it has none."""
    hooks = getattr(getattr(host, "hook", None), "hooks", ())
    steps = {key: step for one in hooks if isinstance(one, SummaryHook) for key, step in one.optimizers.items()}
    for key in STEPS:
        if key in steps:
            return steps[key]
    came = type(host).__name__
    raise TypeError(f"host must be a training hook of pytorch-adapt, with an optimizer step of its own, got {came}")


def refused_parts(host: BaseHook, recipe: Recipe) -> dict[str, str]:
    """Returns the kinds of parts that the host cannot have or already has, with the reasons."""
    written = {*host.out_keys, *training_step(host).hook.loss_keys}
    reasons = {
        part.kind: f"it has {part.trace!r} already" if part.trace in written else part.refusal(host, recipe.kinds)
        for part in recipe
    }
    return {kind: reason for kind, reason in reasons.items() if reason is not None}


def fitting_recipe(host: BaseHook, recipe: Recipe) -> Recipe:
    """Returns the recipe without what is the host's own, and without parts as in the default that the host refuses.

    Raises `ValueError` for another part that the host refuses, and if no part is left.
    """
    fitting = Recipe(*(part for part in recipe if part.in_hosts))
    refused = refused_parts(host, fitting)
    chosen = {kind: reason for kind, reason in refused.items() if fitting.get(kind) != DEFAULT.get(kind)}
    if chosen or len(refused) == len(fitting):
        reasons = listed(chosen or refused) or "it has a classification loss of its own, and there is no other part"
        raise ValueError(f"recipe must not have parts that {type(host).__name__} refuses: {reasons}")
    # a part that is left out can be one that another part needs in this host
    return fitting_recipe(host, fitting.without(*refused)) if refused else fitting


def listed(reasons: Mapping[str, str]) -> str:
    """Returns kinds and reasons as text, grouped by reason."""
    parts = {reason: [part for part, own in reasons.items() if own == reason] for reason in reasons.values()}
    return "; ".join(f"{', '.join(of_reason)}: {reason}" for reason, of_reason in parts.items())


def fixed_networks(host: BaseHook) -> list[BaseHook]:
    """Returns a hook that keeps gradients from the networks that the host keeps fixed; [] if it fixes none."""
    if isinstance(host, FinetunerHook):
        return [FixedNetworksHook()]
    return [FixedNetworksHook([keys.SRC], fixes_classifier=True)] if isinstance(host, ADDAHook) else []


def loss_weights(recipe: Recipe, hooks: Sequence[BaseHook], weights: Mapping[str, float]) -> dict[str, float]:
    """Returns the weights of all losses of the hooks. Raises `ValueError` for a weight of an unknown loss."""
    losses = sorted({key for hook in hooks for key in hook.loss_keys})
    unknown = sorted({*weights, *recipe.loss_weights} - set(losses))
    if unknown:
        raise ValueError(f"weights must be of {losses}, got {unknown}")
    return {key: weights.get(key, recipe.loss_weights.get(key, 1.0)) for key in losses}


def check_kinds(of_host: Sequence[Any], opts: Sequence[Any]) -> None:
    """Raises `TypeError` if optimizers and names are mixed, because upstream takes only one of the two."""
    kinds = {"names" if isinstance(opt, str) else "optimizers" for opt in (*of_host, *opts)}
    if len(kinds) > 1:
        wanted, came = ("names", "optimizers") if isinstance(of_host[0], str) else ("optimizers", "names")
        raise TypeError(f"opts must be {wanted}, as the host's are, got {came}")
