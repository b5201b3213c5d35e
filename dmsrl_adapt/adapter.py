"""Adapter: the whole method, for a plain loop and for upstream's framework wrappers."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from pytorch_adapt.adapters import BaseAdapter
from pytorch_adapt.adapters.utils import with_opt
from pytorch_adapt.containers import KeyEnforcer, Misc, Models, MultipleContainers, Optimizers
from torch import Tensor, nn

from . import keys
from .components import Components, one_recipe
from .dmsrl_hook import DMSRLHook
from .inference import infer
from .processes import is_shared, of_all_processes
from .recipe import DEFAULT
from .training import TrainingProgress
from .training.checkpoints import allow_upstream_checkpoints

CONTAINERS = ("models", "optimizers", "lr_schedulers", "misc")


class DMSRL(BaseAdapter):
    """Adapter of `DMSRLHook`, for a plain loop (`training_step`, `inference`) and for upstream's Ignite wrapper.

    |Container|Required keys|
    |---|---|
    |models|`G`, `C`, and those of `dmsrl_components`|
    |optimizers|none; the keys of `models` are allowed|
    |misc|those of `dmsrl_components`|

    Missing optimizers are created: Adam with learning rate 1e-3 and weight decay 5e-4, unless a part of the recipe
    defines others, see `CenterMargin` and `TwoBranchMI`. The recipe is the one for which `dmsrl_components` made the
    modules. Under the Ignite wrapper warm-ups run over the wrapper's iterations, unless `dmsrl_components` was given
    `total_steps`.

    Args:
        *args: upstream's containers `models`, `optimizers`, `lr_schedulers`, `misc`, in this order.
        hook_kwargs: arguments of `DMSRLHook`. Give `recipe` only for modules that were not made by `dmsrl_components`.
        **kwargs: the containers by name, and upstream's other arguments.

    Raises:
        KeyError: a container lacks a key, or has one that the recipe does not know.
        ValueError: modules of two recipes, or `recipe` is not that of the modules.

    Examples:
        >>> from dmsrl_adapt import dmsrl_components
        >>> parts = dmsrl_components(feature_dim=8, num_classes=3, num_target=100)
        >>> adapter = DMSRL.of(torch.nn.Linear(4, 8), torch.nn.Linear(8, 3), parts)
        >>> adapter.inference(torch.zeros(2, 4))["logits"].shape
        torch.Size([2, 3])
    """

    def __init__(self, *args: Any, hook_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        allow_upstream_checkpoints()
        hook_kwargs = dict(hook_kwargs or {})
        given = {**dict(zip(CONTAINERS, args, strict=False)), **kwargs}
        containers = [*(kwargs.get("default_containers") or {}).values(), *(given.get(name) for name in CONTAINERS)]
        modules = [module for one in containers if isinstance(one, Mapping) for module in one.values()]
        found = one_recipe(hook_kwargs.get("recipe"), modules)
        self.recipe = DEFAULT if found is None else found
        super().__init__(*args, hook_kwargs={**hook_kwargs, "recipe": self.recipe}, **kwargs)

    @classmethod
    def of(cls, G: nn.Module, C: nn.Module, parts: Components, **kwargs: Any) -> "DMSRL":
        """Returns the adapter of a feature extractor, a classifier and the result of `dmsrl_components`.

        Args:
            G: takes inputs, returns features, shape (N, D).
            C: takes features, returns logits, shape (N, K).
            parts: result of `dmsrl_components` for the same D and K.
            **kwargs: other arguments of `DMSRL`.
        """
        models = Models({keys.G: G, keys.C: C, **parts.models})
        return cls(models=models, misc=Misc(dict(parts.misc)), **kwargs)

    @property
    def hook_cls(self) -> type[DMSRLHook]:
        """Class of the hook."""
        return DMSRLHook

    def inference(self, x: Tensor, domain: Any = None, **inputs: Any) -> dict[str, Tensor]:
        """Returns `features`, shape (N, D), and `logits`, shape (N, K).

        Args:
            x: inputs of G.
            domain: not used; upstream's wrappers pass it.
            **inputs: what G takes beside images, for example `landmarks`.
        """
        return infer(self, x, domain, **inputs)

    def init_containers_and_check_keys(self, containers: MultipleContainers) -> None:
        """Checks the keys of all containers; the models' first, because upstream creates their optimizers before."""
        required = self.key_enforcer.requirements.get("models", containers["models"].keys())
        KeyEnforcer(models=list(required)).check(containers)
        super().init_containers_and_check_keys(containers)

    def init_hook(self, hook_kwargs: dict[str, Any]) -> None:
        """Creates the hook; called by the base class once the containers are complete."""
        self.hook = self.hook_cls(opts=with_opt(list(self.optimizers.keys())), **hook_kwargs)

    def get_key_enforcer(self) -> KeyEnforcer:
        """Returns the keys that the recipe needs in each container."""
        models = [keys.G, keys.C, *self.recipe.model_keys]
        return KeyEnforcer(models=models, optimizers=models, misc=self.recipe.misc_keys)

    def get_default_containers(self) -> MultipleContainers:
        """Returns the recipe's optimizer for every module; the user's optimizers replace them."""
        return MultipleContainers(optimizers=Optimizers(self.recipe.optimizers))

    def before_training_starts_default(self, framework: Any) -> None:
        """Sets the length of the warm-ups, unless the user has given it."""
        super().before_training_starts_default(framework)
        check_lengths(framework)
        set_length(self.misc[keys.TRAINING_PROGRESS], framework)


def set_length(progress: TrainingProgress, framework: Any) -> None:
    """Sets the length of the warm-ups to the framework wrapper's number of steps, unless the user gave it.

    Warns if neither is known.
    """
    if not hasattr(framework, "get_training_length"):
        return
    length = training_length(framework)
    if length is not None:
        progress.propose_total_steps(length)
    elif not progress.is_given:
        warnings.warn(
            f"the length of the run is not known, so warm-ups take {int(progress.total_steps):,} steps: pass "
            "total_steps=... to dmsrl_components",
            stacklevel=2,
        )


def training_length(framework: Any) -> int | None:
    """Returns the number of steps of a framework wrapper, at least 1; None if it is unknown."""
    try:
        steps = framework.get_training_length()[1]
    except TypeError:  # upstream's wrapper multiplies by None for a data set of unknown length
        return None
    return max(int(steps), 1) if steps is not None and math.isfinite(steps) and steps >= 0 else None


def check_lengths(framework: Any) -> None:
    """Raises `ValueError` unless all processes of a group take the same number of steps.

    With different numbers, some would wait for the others for ever.
    """
    if is_shared() and hasattr(framework, "get_training_length"):
        mine = torch.tensor([training_length(framework) or -1], device=framework.device)
        lengths = of_all_processes(mine).tolist()
        if len(set(lengths)) > 1:
            raise ValueError(f"all processes must take the same number of steps, got {lengths}; see docs/robustness.md")
