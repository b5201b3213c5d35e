"""Adapter: the whole method for upstream's framework wrappers."""

import math
import warnings
from typing import Any

import torch
from pytorch_adapt.adapters import BaseAdapter
from pytorch_adapt.adapters.utils import with_opt
from pytorch_adapt.containers import KeyEnforcer, MultipleContainers, Optimizers

from . import keys
from .checkpoints import allow_upstream_checkpoints
from .hooks import DMSRLHook
from .layers import TrainingProgress
from .layers.processes import is_shared, of_all_processes
from .recipes import Recipe, get_recipe

OptimizerChoice = tuple[type[torch.optim.Optimizer], dict[str, Any]]


class DMSRL(BaseAdapter):
    """Wraps `DMSRLHook` for a plain loop (`training_step`, `inference`) and for upstream's Ignite wrapper.

    |Container|Required keys|
    |---|---|
    |models|`G`, `C`, and `margin_metric`, `mi_critic` where the recipe has those parts; with `mi="two_branch"`
    `mi_branch` and `mi_estimator` in place of `mi_critic`|
    |optimizers|the same; those that are not given are made: Adam with learning rate 1e-3, or where the recipe, whatever
    its name, has class centres (`margin="centers"`, as the published one) SGD with learning rate 0.01 and momentum 0.9,
    both with weight decay 5e-4; for the centres SGD with learning rate 1.0 alone; for `mi_branch` and `mi_estimator`
    four times the learning rate, since a bound holds only where they keep up with the features|
    |misc|`training_progress`, and `pseudo_labeler` where the recipe has one|

    Under the Ignite wrapper the ramps run over the wrapper's iterations, unless `dmsrl_components` was given
    `total_steps`.

    Args:
        *args: upstream's containers `models`, `optimizers`, `lr_schedulers`, `misc`, in this order.
        hook_kwargs: arguments of `DMSRLHook`, for one `{"recipe": "published"}`.
        **kwargs: the containers by name, and upstream's other arguments.

    Raises:
        KeyError: a container lacks a key, or has one that the recipe does not know.
        ValueError: unknown recipe.

    Examples:
        >>> from pytorch_adapt.containers import Misc, Models
        >>> from dmsrl_adapt import dmsrl_components
        >>> parts = dmsrl_components(feature_dim=8, num_classes=3, num_target=100)
        >>> models = Models({"G": torch.nn.Linear(4, 8), "C": torch.nn.Linear(8, 3), **parts.models})
        >>> adapter = DMSRL(models=models, misc=Misc(parts.misc))
        >>> adapter.inference(torch.zeros(2, 4))["logits"].shape
        torch.Size([2, 3])
    """

    def __init__(self, *args: Any, hook_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        allow_upstream_checkpoints()
        self.recipe = get_recipe((hook_kwargs or {}).get("recipe", "default"))
        super().__init__(*args, hook_kwargs=hook_kwargs, **kwargs)

    @property
    def hook_cls(self) -> type[DMSRLHook]:
        """The hook that the adapter wraps."""
        return DMSRLHook

    def init_containers_and_check_keys(self, containers: MultipleContainers) -> None:
        """Checks the models' keys first: upstream makes their optimizers before it looks whether they are there."""
        required = self.key_enforcer.requirements.get("models", containers["models"].keys())
        KeyEnforcer(models=list(required)).check(containers)
        super().init_containers_and_check_keys(containers)

    def init_hook(self, hook_kwargs: dict[str, Any]) -> None:
        """Makes the hook; called by the base class once the containers are complete."""
        self.hook = self.hook_cls(opts=with_opt(list(self.optimizers.keys())), **hook_kwargs)

    def get_key_enforcer(self) -> KeyEnforcer:
        """Gives the keys that the recipe needs in each container."""
        models = [keys.G, keys.C, *self.recipe.model_keys]
        return KeyEnforcer(models=models, optimizers=models, misc=self.recipe.misc_keys)

    def get_default_containers(self) -> MultipleContainers:
        """Gives an optimizer for every module, to be replaced by those that the user gives."""
        optimizers = default_optimizers(self.recipe)
        return MultipleContainers(optimizers=Optimizers(optimizers))

    def before_training_starts_default(self, framework: Any) -> None:
        """Tells the ramps how long the run is, where nobody else has."""
        super().before_training_starts_default(framework)
        check_lengths(framework)
        tell_length(self.misc[keys.TRAINING_PROGRESS], framework)


def tell_length(progress: TrainingProgress, framework: Any) -> None:
    """Tells the ramps how many steps a framework wrapper is going to take, where the user has not.

    Warns where neither of them knows.
    """
    if not hasattr(framework, "get_training_length"):
        return
    length = training_length(framework)
    if length is not None:
        progress.propose_total_steps(length)
    elif not progress.is_given:
        warnings.warn(
            f"the length of the run is not known, so that warm-ups take {int(progress.total_steps):,} steps: pass "
            "total_steps=... to dmsrl_components",
            stacklevel=2,
        )


def training_length(framework: Any) -> int | None:
    """Returns how many steps a framework wrapper is going to take, at least 1; None where it cannot tell."""
    try:
        steps = framework.get_training_length()[1]
    except TypeError:  # upstream's multiplies what Ignite does not know, for one with a data set of unknown length
        return None
    return max(int(steps), 1) if steps is not None and math.isfinite(steps) and steps >= 0 else None


def check_lengths(framework: Any) -> None:
    """Raises `ValueError` where the processes of a group are not to take the same number of steps: some would wait for
    the others for ever."""
    if is_shared() and hasattr(framework, "get_training_length"):
        mine = torch.tensor([training_length(framework) or -1], device=framework.device)
        lengths = of_all_processes(mine).tolist()
        if len(set(lengths)) > 1:
            raise ValueError(f"all processes must take the same number of steps, got {lengths}; see docs/robustness.md")


def default_optimizers(recipe: Recipe) -> dict[str, OptimizerChoice]:
    """Gives class and arguments of an optimizer for every trained module of the recipe, by module key.

    They depend on whether the recipe has class centres (`margin="centers"`) and two branches, not on its name.
    """
    has_centers = recipe.margin == "centers"
    sgd: OptimizerChoice = (torch.optim.SGD, {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4})
    usual: OptimizerChoice = sgd if has_centers else (torch.optim.Adam, {"lr": 1e-3, "weight_decay": 5e-4})
    optimizers = dict.fromkeys((keys.G, keys.C, *recipe.model_keys), usual)
    fast: OptimizerChoice = (usual[0], {**usual[1], "lr": 4 * usual[1]["lr"]})
    optimizers |= {key: fast for key in (keys.MI_BRANCH, keys.MI_ESTIMATOR) if key in optimizers}
    if has_centers:
        optimizers[keys.MARGIN_METRIC] = (torch.optim.SGD, {"lr": 1.0})
    return optimizers
