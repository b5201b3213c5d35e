"""What a part of a recipe is."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pytorch_adapt.hooks import MultiLabelClassifierHook, MultiLabelFinetunerHook
from pytorch_adapt.hooks.base import BaseHook
from torch import nn

if TYPE_CHECKING:
    from ..recipe import Recipe

OptimizerChoice = tuple[type[torch.optim.Optimizer], dict[str, Any]]
Space = tuple[float, float] | list[Any]

ONE_LABEL = "its samples have several labels each, and this part is for samples with one"
FIXED_G = "it keeps G fixed, and this part is for a G that learns"
KINDS: dict[str, type["Part"]] = {}


@dataclass(frozen=True)
class Sizes:
    """What the modules of a part are made for.

    Args:
        feature_dim: D, length of a feature.
        num_classes: K.
        num_target: number of samples in the target data set.
        num_domains: domains that the mutual information part tells apart, at least 2.
    """

    feature_dim: int
    num_classes: int
    num_target: int
    num_domains: int = 2


@dataclass(frozen=True)
class Part:
    """Base class: one ingredient of a method, with everything that is its own.

    A subclass is a frozen dataclass whose fields are its settings. It names its `kind`, of which a recipe has one at
    most, and overrides what it has: modules, hooks, weights of its losses, optimizers. A subclass of yours works
    everywhere a built-in one does: docs/own_part.md shows one.

    Attributes:
        kind: name of the ingredient, in `Recipe.without` and in the settings of benchmarks.
        after: kinds that have to come before it in a recipe that has them, since it reads what they write.
        requires: kinds without which it makes no sense.
        trace: a context key or a loss by which one sees that a host method has this ingredient already.
        refused_by: host methods, as types of training hooks, in which it makes no sense, and why. The first that fits
            counts.
        in_hosts: whether `attach_dmsrl` puts it into other methods. If not, the host's own counterpart stays.
        usual_optimizer: class and arguments of the optimizer of all modules in a recipe with this part; None for the
            usual one.
        search_space: where to look for settings, by their name: two numbers are the ends of a range on a logarithmic
            scale, a list holds choices.
    """

    kind: ClassVar[str] = ""
    after: ClassVar[tuple[str, ...]] = ()
    requires: ClassVar[tuple[str, ...]] = ()
    trace: ClassVar[str | None] = None
    refused_by: ClassVar[Mapping[type[BaseHook], str]] = {
        MultiLabelClassifierHook: ONE_LABEL,
        MultiLabelFinetunerHook: ONE_LABEL,
    }
    in_hosts: ClassVar[bool] = True
    usual_optimizer: ClassVar[OptimizerChoice | None] = None
    search_space: ClassVar[Mapping[str, Space]] = {}

    def __init_subclass__(cls, is_base: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not is_base:
            KINDS[cls.__name__] = cls

    def models(self, sizes: Sizes) -> dict[str, nn.Module]:
        """Returns new trained modules by context key."""
        return {}

    def misc(self, sizes: Sizes) -> dict[str, nn.Module]:
        """Returns new modules without trained parameters by context key."""
        return {}

    @property
    def model_keys(self) -> tuple[str, ...]:
        """Context keys of `models`."""
        return ()

    @property
    def misc_keys(self) -> tuple[str, ...]:
        """Context keys of `misc`."""
        return ()

    def hooks_before(self) -> list[BaseHook]:
        """Returns new hooks that run before features are computed."""
        return []

    def hooks(self) -> list[BaseHook]:
        """Returns new hooks that run after features and logits are computed."""
        return []

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each of its losses, by loss key."""
        return {}

    def optimizers(self, usual: OptimizerChoice) -> dict[str, OptimizerChoice]:
        """Returns the optimizers of modules that need another one than the usual, by context key."""
        return {}

    def refusal(self, host: BaseHook, recipe: "Recipe") -> str | None:
        """Returns why a host method cannot have this part in this recipe; None where it can."""
        return next((reason for kind, reason in self.refused_by.items() if isinstance(host, kind)), None)

    def ablated(self) -> "Part | None":
        """Returns what stands in its place in an ablation; None for nothing.

        A part whose modules draw random numbers stays with weight 0, so that the rest of the run has the same ones.
        """
        return None

    @property
    def settings(self) -> dict[str, Any]:
        """Its fields as plain values, in their order."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}

    def coerce(self, **values: Any) -> None:
        """Sets fields of the frozen dataclass; for `__post_init__`."""
        for name, value in values.items():
            object.__setattr__(self, name, value)
