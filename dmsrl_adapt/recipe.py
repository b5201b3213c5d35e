"""Recipes: the parts of a method, with their settings."""

from collections.abc import Mapping
from dataclasses import fields
from dataclasses import replace as replace_fields
from typing import Any

import torch
from torch import nn

from . import keys
from .parts import (
    ArgmaxLabels,
    CenterMargin,
    ConditionalMI,
    CosineMargin,
    MarginalMI,
    MinimumClassConfusion,
    Part,
    PrototypeLabels,
    SourceAugmentation,
    SourceClassification,
    TargetConsistency,
)
from .parts.part import PART_CLASSES, OptimizerChoice, Sizes, class_name
from .parts.together import Kind, check_together, is_of, listed
from .training import WarmUp

ADAM: OptimizerChoice = (torch.optim.Adam, {"lr": 1e-3, "weight_decay": 5e-4})


class Recipe(tuple[Part, ...]):
    """A method as a tuple of parts. Their hooks run in this order, and their losses are added.

    `Recipe(part, another_part, ...)` takes at most one part of a kind, each after the parts whose results it reads.
    Make variants with `without` and `replace`, or from parts: `Recipe(*DEFAULT, KnownTargetLabels())`.

    Raises:
        TypeError: an argument that is not a part.
        ValueError: two parts of a kind, a part before one whose results it reads, or without one that it requires.

    Examples:
        >>> from dmsrl_adapt.parts import CosineMargin, PrototypeLabels, SourceClassification
        >>> recipe = Recipe(PrototypeLabels(), CosineMargin(weight=0.2), SourceClassification())
        >>> recipe.replace("margin", scale=16.0).get("margin").scale
        16.0
        >>> recipe.without("margin").kinds
        ('pseudo_labels', 'classification')
    """

    __slots__ = ()

    def __new__(cls, *parts: Part) -> "Recipe":
        """Returns the recipe of these parts."""
        for part in parts:
            if not isinstance(part, Part):
                raise TypeError(f"a recipe is made of parts, got {part!r}")
        check_together(parts)
        return super().__new__(cls, parts)

    def __getnewargs__(self) -> tuple[Part, ...]:
        """Returns what `__new__` takes, for copies and pickles."""
        return tuple(self)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the parts, in their order."""
        return tuple(part.kind for part in self)

    def get(self, kind: Kind) -> Part | None:
        """Returns the part of a kind or class; None if there is none."""
        return next((part for part in self if is_of(part, kind)), None)

    def without(self, *kinds: Kind) -> "Recipe":
        """Returns the recipe without some kinds or classes of parts. Raises `ValueError` for one it does not have."""
        left_out = [self._known(kind) for kind in kinds]
        return Recipe(*(part for part in self if part not in left_out))

    def replace(self, kind: Kind | Part, **settings: Any) -> "Recipe":
        """Returns the recipe with other settings of one part, or with another part in place of the one of its kind.

        Raises `ValueError` for a part that it does not have, `TypeError` for a setting that the part does not have.
        """
        old = self._known(kind.kind if isinstance(kind, Part) else kind)
        new = replace_fields(kind if isinstance(kind, Part) else old, **settings)
        return Recipe(*(new if part is old else part for part in self))

    def ablated(self, kind: Kind) -> "Recipe":
        """Returns the recipe for an ablation of one part; see `Part.ablated`."""
        old = self._known(kind)
        replaced = ((part.ablated() if part is old else part) for part in self)
        return Recipe(*(part for part in replaced if part is not None))

    def _known(self, kind: Kind) -> Part:
        part = self.get(kind)
        if part is None:
            raise ValueError(f"the recipe has no part {listed(kind)}, it has {', '.join(self.kinds)}")
        return part

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of all losses, by loss key."""
        return {key: weight for part in self for key, weight in part.loss_weights.items()}

    @property
    def model_keys(self) -> list[str]:
        """Context keys of the trained modules that it needs besides G and C."""
        return [key for part in self for key in part.models()]

    @property
    def misc_keys(self) -> list[str]:
        """Context keys of the modules without trained parameters that it needs."""
        return [keys.TRAINING_PROGRESS, *(key for part in self for key in part.misc())]

    def models(self, sizes: Sizes) -> dict[str, nn.Module]:
        """Returns new trained modules for `model_keys`."""
        return {key: make(sizes) for part in self for key, make in part.models().items()}

    def misc(self, sizes: Sizes) -> dict[str, nn.Module]:
        """Returns new modules for `misc_keys`, but for the training progress."""
        return {key: make(sizes) for part in self for key, make in part.misc().items()}

    @property
    def usual_optimizer(self) -> OptimizerChoice:
        """Class and arguments of the optimizer of G, C and all modules for which no part defines another one."""
        return next((part.usual_optimizer for part in self if part.usual_optimizer is not None), ADAM)

    @property
    def optimizers(self) -> dict[str, OptimizerChoice]:
        """Class and arguments of the optimizers of G, C and all trained modules, by context key."""
        usual = self.usual_optimizer
        own = {key: choice for part in self for key, choice in part.optimizers(usual).items()}
        return {**dict.fromkeys((keys.G, keys.C, *self.model_keys), usual), **own}

    @property
    def settings(self) -> dict[str, Any]:
        """All parts and their settings as plain values: `{"margin": "CosineMargin", "margin.weight": 0.2, ...}`."""
        values: dict[str, Any] = {}
        for part in self:
            values[part.kind] = class_name(type(part))
            values |= {f"{part.kind}.{name}": value for name, value in part.settings.items()}
        return values

    @property
    def reads_target_labels(self) -> bool:
        """Whether a part uses the `target_labels` of a batch."""
        return any(part.reads_target_labels for part in self)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Recipe":
        """Returns the recipe that `settings` describes. Keys that name no kind are ignored, as are kinds with None.

        Raises:
            ValueError: an unknown class of part, or unknown or invalid settings of a part.
        """
        kinds = {part.kind for part in PART_CLASSES.values()}
        named = {kind: name for kind, name in settings.items() if kind in kinds and name is not None}
        return cls(*(part_of(kind, name, settings) for kind, name in named.items()))

    def __repr__(self) -> str:
        return f"Recipe({', '.join(map(repr, self))})"


def part_of(kind: str, name: str, settings: Mapping[str, Any]) -> Part:
    """Returns the part that the settings of a recipe describe, of the class of that name.

    Raises `ValueError` for an unknown class, and for unknown or invalid settings.
    """
    known = [of_kind for of_kind, part in PART_CLASSES.items() if part.kind == kind]
    if name not in known:
        raise ValueError(f"{kind} must be one of {', '.join(known)} or None, got {name!r}")
    prefix = f"{kind}."
    own = {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}
    try:
        return PART_CLASSES[name](**own)
    except TypeError as error:
        wanted = ", ".join(one.name for one in fields(PART_CLASSES[name]))
        raise ValueError(f"{name} must have the settings {wanted}, got {own} ({error})") from error


DEFAULT = Recipe(
    PrototypeLabels(threshold=0.5),
    CosineMargin(weight=0.2, margin=0.2, scale=8.0),
    ConditionalMI(weight=0.3, warmup=WarmUp.LINEAR),
    MinimumClassConfusion(weight=0.5, temperature=2.5, warmup=WarmUp.SIGMOID),
    SourceAugmentation(probability=0.5),
    TargetConsistency(weight=0.3, probability=0.5, warmup=WarmUp.SIGMOID),
    SourceClassification(label_smoothing=0.05),
)

PUBLISHED = Recipe(
    ArgmaxLabels(),
    CenterMargin(weight=0.01, margin=100.0, warmup=WarmUp.SIGMOID),
    MarginalMI(weight=0.01),
    SourceClassification(label_smoothing=0.0),
)

SOURCE_ONLY = Recipe(SourceClassification())

RECIPES = {"default": DEFAULT, "published": PUBLISHED, "source_only": SOURCE_ONLY}


def get_recipe(recipe: str | Recipe) -> Recipe:
    """Returns the recipe of a name, or the recipe itself.

    Raises:
        ValueError: an unknown name.
        TypeError: neither a name nor a recipe.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if not isinstance(recipe, str):
        raise TypeError(f"recipe must be one of {tuple(RECIPES)} or a Recipe, got {type(recipe).__name__}")
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {tuple(RECIPES)} or a Recipe, got {recipe!r}")
    return RECIPES[recipe]


def described(recipe: Recipe) -> str:
    """Returns a recipe for messages: its name, or how it differs from the default."""
    for name, known in RECIPES.items():
        if known == recipe:
            return repr(name)
    settings, usual = recipe.settings, DEFAULT.settings
    changes = [f"{key} = {value!r}" for key, value in settings.items() if usual.get(key) != value]
    changes += [f"no {kind}" for kind in DEFAULT.kinds if kind not in recipe.kinds]
    return f"'default' with {', '.join(changes)}" if changes else repr(recipe)
