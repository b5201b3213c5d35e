"""Base class of the hooks that run a training step with a recipe."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from pytorch_adapt.hooks.base import BaseHook, BaseWrapperHook
from torch import nn

from . import keys
from .checks import validate_args
from .components import one_recipe
from .hooks import CollapseHook
from .hooks.batch_check import check_batch
from .hooks.context import read
from .hooks.weighters import FiniteHook
from .recipe import DEFAULT, Recipe
from .state import restored_on_error


class RecipeHook(BaseWrapperHook):
    """A training step of a recipe that is known at the first call: checks the batch, runs `hook`, counts the step.

    A subclass builds `hook` and says which optimizers must hold which modules. A refused batch leaves no trace.

    Args:
        hook: what runs until a recipe is known.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.
    """

    def __init__(self, hook: BaseHook, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hook = hook
        self.given: Recipe | None = None  # that of the modules
        self.recipe: Recipe | None = None  # what of it is run
        self.are_opts_checked = False
        self.collapse, self.finite = CollapseHook(), FiniteHook()

    @abstractmethod
    def _build(self, given: Recipe) -> None:
        """Sets `given`, `recipe` and `hook` for the recipe of the modules."""

    @abstractmethod
    def _check_inputs(self, inputs: Mapping[str, Any], modules: Mapping[str, nn.Module]) -> None:
        """Raises for inputs that this hook cannot run with."""

    @abstractmethod
    def _check_opts(self, inputs: Mapping[str, Any], recipe: Recipe) -> None:
        """Raises `ValueError` for a module that no optimizer trains; called once."""

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        if self.given is None:
            carried = one_recipe(None, inputs.values())
            self._build(DEFAULT if carried is None else carried)
        recipe: Recipe = self.recipe  # type: ignore[assignment]
        modules = {key: read(self, inputs, key) for key in (*recipe.model_keys, *recipe.misc_keys)}
        one_recipe(self.given, modules.values())
        if not self.are_opts_checked:
            self._check_opts(inputs, recipe)
            self.are_opts_checked = True
        inputs = {**inputs, **check_batch(self, inputs, modules, recipe.reads_target_labels)}
        self._check_inputs(inputs, modules)
        with validate_args(False), restored_on_error():
            result: tuple[dict[str, Any], dict[str, Any]] = self.hook(inputs, losses)
        modules[keys.TRAINING_PROGRESS].advance()
        return result


def check_opts(opts: Iterable[torch.optim.Optimizer], modules: Mapping[str, nn.Module]) -> None:
    """Raises `ValueError` for a module without a parameter in any optimizer, which would not be trained.

    One parameter in an optimizer is enough. Modules whose parameters are all frozen need none.
    """
    held = {id(parameter) for opt in opts for group in opt.param_groups for parameter in group["params"]}
    for key, module in modules.items():
        trainable = {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
        if trainable and held.isdisjoint(trainable):
            raise ValueError(f"opts must hold parameters of {key!r}, got none; freeze it if it is not to be trained")
