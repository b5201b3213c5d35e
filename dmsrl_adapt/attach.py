"""Adds parts of DMSRL to another method of pytorch-adapt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import torch
from pytorch_adapt.adapters import BaseAdapter
from pytorch_adapt.adapters.utils import with_opt
from pytorch_adapt.containers import Optimizers
from pytorch_adapt.hooks.base import BaseHook

from . import keys
from .adapter import check_lengths, set_length
from .attached_hook import AttachedHook, fitting_recipe
from .components import Components, one_recipe
from .inference import Inference
from .recipe import DEFAULT, Recipe
from .training.checkpoints import allow_upstream_checkpoints

Adapter = TypeVar("Adapter", bound=BaseAdapter)
Opts = Sequence[torch.optim.Optimizer] | Sequence[str]


@overload
def attach_dmsrl(
    host: Adapter,
    parts: Components,
    recipe: str | Recipe | None = None,
    opts: Opts = (),
    pre: Sequence[BaseHook] = (),
    post: Sequence[BaseHook] = (),
    weights: Mapping[str, float] | None = None,
) -> Adapter: ...


@overload
def attach_dmsrl(
    host: BaseHook,
    parts: None = None,
    recipe: str | Recipe | None = None,
    opts: Opts = (),
    pre: Sequence[BaseHook] = (),
    post: Sequence[BaseHook] = (),
    weights: Mapping[str, float] | None = None,
) -> AttachedHook: ...


def attach_dmsrl(
    host: Any,
    parts: Components | None = None,
    recipe: str | Recipe | None = None,
    opts: Opts = (),
    pre: Sequence[BaseHook] = (),
    post: Sequence[BaseHook] = (),
    weights: Mapping[str, float] | None = None,
) -> Any:
    """Adds parts of DMSRL to another method of pytorch-adapt; see `AttachedHook`.

    For a hook it returns a new hook, to be called with `parts.models` and `parts.misc` in its context. An adapter is
    modified in place and returned: the modules of the recipe are added to its containers, with the optimizers that
    `DMSRL` would use, which can be replaced in `adapter.optimizers`. Under upstream's Ignite wrapper warm-ups run over
    the wrapper's iterations. docs/hosts.md lists the parts that each method of pytorch-adapt supports, and their cost.

    Args:
        host: a training hook or an adapter of pytorch-adapt, ready to train.
        parts: result of `dmsrl_components`; for an adapter only.
        recipe: for modules that were not made by `dmsrl_components`; None for the recipe of the modules. Parts of the
            default that the host cannot have are left out; other recipes must not contain any.
        opts: optimizers of modules that the host's own optimizers do not hold: for a hook, of the recipe's modules and
            those of `post`; for an adapter, names in its context, only for modules of `post`.
        pre: hooks before the host's, for example `LevelFeaturesHook`.
        post: hooks after the recipe's.
        weights: weights by loss key, of the losses of `post`, or replacing those of the recipe.

    Raises:
        TypeError: neither a training hook nor an adapter; parts for a hook, or none for an adapter.
        ValueError: the recipe has a part that the host cannot have (the message gives the reason); modules of two
            recipes, or not of `recipe`; an adapter already has one of the modules.
        KeyError: `parts` lacks a module that the recipe needs.

    Examples:
        >>> from pytorch_adapt.adapters import MCD
        >>> from pytorch_adapt.containers import Models
        >>> from pytorch_adapt.layers import MultipleModels
        >>> from dmsrl_adapt import dmsrl_components
        >>> C = MultipleModels(torch.nn.Linear(8, 3), torch.nn.Linear(8, 3))
        >>> adapter = MCD(models=Models({"G": torch.nn.Linear(4, 8), "C": C}))
        >>> adapter = attach_dmsrl(adapter, dmsrl_components(feature_dim=8, num_classes=3, num_target=100))
        >>> images = {"src_imgs": torch.ones(2, 4), "target_imgs": torch.ones(2, 4)}
        >>> labels = {"src_labels": torch.tensor([0, 1]), "target_sample_idx": torch.tensor([5, 7])}
        >>> sorted(adapter.training_step({**images, **labels})["x_loss"])[:3]
        ['consistency_loss', 'margin_metric_loss', 'mcc_loss']
    """
    if isinstance(host, BaseHook):
        if parts is not None:
            raise TypeError("parts must not be given for a hook, whose modules are in the context")
        return AttachedHook(host, recipe, opts, pre, post, weights)
    if not isinstance(host, BaseAdapter):
        raise TypeError(f"host must be a training hook or an adapter of pytorch-adapt, got {type(host).__name__}")
    if parts is None:
        raise TypeError("parts must be the result of dmsrl_components for an adapter, got None")
    return attach_to_adapter(host, parts, recipe, list(opts), pre, post, weights)


def attach_to_adapter(
    adapter: Adapter, parts: Components, recipe: str | Recipe | None, opts: list[Any], *hook_args: Any
) -> Adapter:
    """Returns the adapter with `AttachedHook(host, recipe, opts, *hook_args)` as its hook, and the hook's modules."""
    found = one_recipe(recipe, [*parts.models.values(), *parts.misc.values()])
    given = DEFAULT if found is None else found
    fitting = fitting_recipe(adapter.hook, given)
    models = {key: find(parts.models, key) for key in fitting.model_keys}
    misc = {key: find(parts.misc, key) for key in fitting.misc_keys}
    taken = sorted({*models, *misc} & {*adapter.models, *adapter.misc, *adapter.optimizers})
    if taken:
        raise ValueError(f"adapter must not have modules with the names of the new modules, got {taken}")
    adapter.hook = AttachedHook(adapter.hook, given, [*with_opt(list(models)), *opts], *hook_args)
    optimizers = Optimizers({key: fitting.optimizers[key] for key in models})
    optimizers.create_with(models)
    for container, ours in ((adapter.models, models), (adapter.misc, misc), (adapter.optimizers, optimizers)):
        container.update(ours)
    adapter.inference = Inference(adapter)
    adapter.before_training_starts = BeforeTraining(adapter, adapter.before_training_starts)
    allow_upstream_checkpoints()
    return adapter


def find(modules: Mapping[str, Any], key: str) -> Any:
    """Returns the module at a key. Raises `KeyError` if there is none."""
    if key not in modules:
        raise KeyError(f"parts must have {key!r} for this recipe, got {sorted(modules)}")
    return modules[key]


@dataclass
class BeforeTraining:
    """Callback that a framework wrapper calls at the start of training; it sets the length of the warm-ups.

    It is a class rather than a closure, so that an adapter can be pickled and a copy uses its own modules.

    Args:
        adapter: the adapter that is trained.
        host: the adapter's previous callback.
    """

    adapter: BaseAdapter
    host: Callable[[Any], None]

    def __call__(self, framework: Any) -> None:
        """Calls the previous callback and sets the length of the adapter's training progress."""
        self.host(framework)
        check_lengths(framework)
        set_length(self.adapter.misc[keys.TRAINING_PROGRESS], framework)
