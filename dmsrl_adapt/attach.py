"""One line that puts parts of DMSRL into any other method of pytorch-adapt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import torch
from pytorch_adapt.adapters import BaseAdapter
from pytorch_adapt.adapters.utils import with_opt
from pytorch_adapt.containers import Optimizers
from pytorch_adapt.hooks.base import BaseHook

from . import keys
from .adapter import check_lengths, tell_length
from .attached_hook import AttachedHook, fitting_recipe
from .components import Components, one_recipe
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
    """Puts parts of DMSRL into a method that already runs, in the step and place where they belong; see `AttachedHook`.

    For a hook it returns a hook, to be called with `parts.models` and `parts.misc` in its context. An adapter is
    modified in place and returned: the modules that the recipe needs join its containers, with optimizers as `DMSRL`
    has them, which can be replaced in `adapter.optimizers`; warm-ups run over the iterations of upstream's Ignite
    wrapper, as for `DMSRL`. docs/hosts.md lists, for every method of pytorch-adapt, what it takes and what that costs.

    Args:
        host: a training hook or an adapter of pytorch-adapt, ready to train.
        parts: what `dmsrl_components` gives; for an adapter only.
        recipe: for modules that were not made by `dmsrl_components`. None takes the one that they carry. Parts of the
            default that the host refuses are left out; other recipes must not have any.
        opts: optimizers, for an adapter names in its context, of modules that the host's own do not hold: for a hook
            those of the recipe, for an adapter those of `post` alone.
        pre: hooks before the host's, for example `LevelFeaturesHook`.
        post: hooks after the recipe's.
        weights: weights of the losses of `post`, or other ones for those of the recipe, by loss key.

    Raises:
        TypeError: neither a training hook nor an adapter; parts for a hook, or none for an adapter.
        ValueError: the host refuses a part of the recipe, and says why; modules of two recipes, or of another one than
            `recipe`; an adapter has one of the modules already.
        KeyError: parts lack a module that the recipe needs.

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
            raise TypeError("parts must not be given for a hook, whose modules come with the context")
        return AttachedHook(host, recipe, opts, pre, post, weights)
    if not isinstance(host, BaseAdapter):
        raise TypeError(f"host must be a training hook or an adapter of pytorch-adapt, got {type(host).__name__}")
    if parts is None:
        raise TypeError("parts must be what dmsrl_components gives, for an adapter, got None")
    return attach_to_adapter(host, parts, recipe, list(opts), pre, post, weights)


def attach_to_adapter(
    adapter: Adapter, parts: Components, recipe: str | Recipe | None, opts: list[Any], *hook_args: Any
) -> Adapter:
    """Returns the adapter with the hook of `AttachedHook(host, recipe, opts, *hook_args)` and what it needs."""
    given = one_recipe(recipe, [*parts.models.values(), *parts.misc.values()]) or DEFAULT
    fitting = fitting_recipe(adapter.hook, given)
    models = {key: find(parts.models, key) for key in fitting.model_keys}
    misc = {key: find(parts.misc, key) for key in fitting.misc_keys}
    taken = sorted({*models, *misc} & {*adapter.models, *adapter.misc, *adapter.optimizers})
    if taken:
        raise ValueError(f"adapter must not have modules of the names that its new parts have, got {taken}")
    adapter.hook = AttachedHook(adapter.hook, given, [*with_opt(list(models)), *opts], *hook_args)
    optimizers = Optimizers({key: fitting.optimizers[key] for key in models})
    optimizers.create_with(models)
    for container, ours in ((adapter.models, models), (adapter.misc, misc), (adapter.optimizers, optimizers)):
        container.update(ours)
    adapter.before_training_starts = BeforeTraining(adapter, adapter.before_training_starts)
    allow_upstream_checkpoints()
    return adapter


def find(modules: Mapping[str, Any], key: str) -> Any:
    """Returns the module of that key. Raises `KeyError` where parts lack it."""
    if key not in modules:
        raise KeyError(f"parts must have {key!r} for this recipe, got {sorted(modules)}")
    return modules[key]


@dataclass
class BeforeTraining:
    """What a framework wrapper calls at the start of training, so that warm-ups know its length too.

    A class and no closure, so that an adapter can be pickled, and a copy of one tells its own modules.

    Args:
        adapter: the adapter that is trained.
        host: what the wrapper would call otherwise.
    """

    adapter: BaseAdapter
    host: Callable[[Any], None]

    def __call__(self, framework: Any) -> None:
        """Tells the adapter's training progress how many steps the framework wrapper is going to take."""
        self.host(framework)
        check_lengths(framework)
        tell_length(self.adapter.misc[keys.TRAINING_PROGRESS], framework)
