"""Base class of the parts of a recipe."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, ClassVar

import torch
from pytorch_adapt.hooks import MultiLabelClassifierHook, MultiLabelFinetunerHook
from pytorch_adapt.hooks.base import BaseHook
from torch import nn

from ..checks import check_at_least
from ..training import WarmUp

Factory = Callable[["Sizes"], nn.Module]
OptimizerChoice = tuple[type[torch.optim.Optimizer], dict[str, Any]]
Space = tuple[float, float] | list[Any]

ONE_LABEL = "its samples have several labels each, and this part needs one label per sample"
FIXED_G = "it keeps G fixed, and this part needs a G that is trained"
SAME_IMAGE = "its virtual adversarial loss compares an image with itself, not with an augmented one"
PART_CLASSES: dict[str, type["Part"]] = {}


@dataclass(frozen=True)
class Sizes:
    """Sizes for the modules of a part.

    Args:
        feature_dim: D, length of a feature.
        num_classes: K.
        num_target: number of samples in the target data set.
        num_domains: number of domains of the mutual information part, at least 2.
    """

    feature_dim: int
    num_classes: int
    num_target: int
    num_domains: int = 2


@dataclass(frozen=True)
class Part:
    """Base class of an ingredient of a method: its settings, modules, hooks, loss weights and optimizers.

    A subclass is a frozen dataclass whose fields are its settings. It sets `kind` and overrides the methods and
    properties that it needs. Your own subclass works everywhere a built-in one does; see docs/own_part.md.

    Attributes:
        kind: name of the ingredient, for example in `Recipe.without`. A recipe has at most one part of a kind.
        after: kinds that must come before this part if the recipe has them, because it reads what they write.
        requires: kinds, or classes of parts, that the recipe must have before this part.
        trace: a context key or loss that shows that a host method already has this ingredient.
        refused_by: host methods, as types of training hooks, that cannot have this part, with the reason. The first
            match counts.
        in_hosts: whether `attach_dmsrl` adds the part to other methods. If not, the host's own counterpart stays.
        reads_target_labels: whether it uses the `target_labels` of a batch. They are then checked; otherwise a warning
            says that they are ignored.
        usual_optimizer: class and arguments of the optimizer of G, C and all modules in a recipe with this part; None
            for that of the recipe.
        search_space: search space of the settings, by name: a tuple is a range on a logarithmic scale, a list holds
            choices.
    """

    kind: ClassVar[str] = ""
    after: ClassVar[tuple[str, ...]] = ()
    requires: ClassVar[tuple["str | type[Part]", ...]] = ()
    trace: ClassVar[str | None] = None
    refused_by: ClassVar[Mapping[type[BaseHook], str]] = {
        MultiLabelClassifierHook: ONE_LABEL,
        MultiLabelFinetunerHook: ONE_LABEL,
    }
    in_hosts: ClassVar[bool] = True
    reads_target_labels: ClassVar[bool] = False
    usual_optimizer: ClassVar[OptimizerChoice | None] = None
    search_space: ClassVar[Mapping[str, Space]] = {}

    def __init_subclass__(cls, is_base: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not is_base:
            PART_CLASSES[class_name(cls)] = cls

    def __post_init__(self) -> None:
        """Converts the name of a `warmup` and checks a `weight`, where the part has them. Subclasses call it first."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        if "warmup" in values:
            object.__setattr__(self, "warmup", WarmUp(values["warmup"]))
        if "weight" in values:
            check_at_least(0, weight=values["weight"])

    def models(self) -> dict[str, Factory]:
        """Returns what makes each of its trained modules for given sizes, by context key."""
        return {}

    def misc(self) -> dict[str, Factory]:
        """Returns what makes each of its modules without trained parameters for given sizes, by context key."""
        return {}

    def hooks_before(self) -> list[BaseHook]:
        """Returns new hooks that run before features are computed."""
        return []

    def hooks(self) -> list[BaseHook]:
        """Returns new hooks that run after features and logits are computed."""
        return []

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of its losses, by loss key."""
        return {}

    def optimizers(self, usual: OptimizerChoice) -> dict[str, OptimizerChoice]:
        """Returns the optimizers of modules that do not use the usual one, by context key."""
        return {}

    def refusal(self, host: BaseHook, kinds: Collection[str]) -> str | None:
        """Returns why a host method cannot have this part in this recipe; None if it can."""
        return next((reason for kind, reason in self.refused_by.items() if isinstance(host, kind)), None)

    def ablated(self) -> "Part | None":
        """Returns the part that replaces it in an ablation; None to leave it out.

        A part whose modules are initialised at random is kept with weight 0, so that the rest of the run draws the same
        random numbers.
        """
        return None

    @property
    def settings(self) -> dict[str, Any]:
        """Its fields as plain values, in their order."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}


def class_name(part: type[Part]) -> str:
    """Returns the name of a class of parts in settings: with its module, for one that is not of this package."""
    is_ours = part.__module__.startswith(f"{__package__}.")
    return part.__name__ if is_ours else f"{part.__module__}.{part.__qualname__}"
