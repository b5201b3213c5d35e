"""Recipes: the parts of a method, with their settings."""

from collections import Counter
from collections.abc import Iterable, Mapping
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
from .parts.part import KINDS, OptimizerChoice, Sizes
from .training import WarmUp

ADAM: OptimizerChoice = (torch.optim.Adam, {"lr": 1e-3, "weight_decay": 5e-4})
Kind = str | type[Part]


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
        """Returns the part of a kind, given by name or class; None if there is none."""
        return next((part for part in self if part.kind == name_of(kind)), None)

    def without(self, *kinds: Kind) -> "Recipe":
        """Returns the recipe without some kinds of parts. Raises `ValueError` for a kind that it does not have."""
        names = [self._known(kind) for kind in kinds]
        return Recipe(*(part for part in self if part.kind not in names))

    def replace(self, kind: Kind | Part, **settings: Any) -> "Recipe":
        """Returns the recipe with other settings of one part, or with another part in place of the one of its kind.

        Raises `ValueError` for a kind that it does not have, `TypeError` for a setting that the part does not have.
        """
        name = self._known(kind.kind if isinstance(kind, Part) else kind)

        def changed(part: Part) -> Part:
            return replace_fields(kind if isinstance(kind, Part) else part, **settings)

        return Recipe(*(changed(part) if part.kind == name else part for part in self))

    def ablated(self, kind: Kind) -> "Recipe":
        """Returns the recipe for an ablation of one part; see `Part.ablated`."""
        name = self._known(kind)
        replaced = ((part.ablated() if part.kind == name else part) for part in self)
        return Recipe(*(part for part in replaced if part is not None))

    def _known(self, kind: Kind) -> str:
        name = name_of(kind)
        if name not in self.kinds:
            raise ValueError(f"the recipe has no part {name!r}, it has {', '.join(self.kinds)}")
        return name

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of all losses, by loss key."""
        return {key: weight for part in self for key, weight in part.loss_weights.items()}

    @property
    def model_keys(self) -> list[str]:
        """Context keys of the trained modules that it needs besides G and C."""
        return [key for part in self for key in part.model_keys]

    @property
    def misc_keys(self) -> list[str]:
        """Context keys of the modules without trained parameters that it needs."""
        return [keys.TRAINING_PROGRESS, *(key for part in self for key in part.misc_keys)]

    def models(self, sizes: Sizes) -> dict[str, nn.Module]:
        """Returns new trained modules for `model_keys`."""
        return {key: module for part in self for key, module in part.models(sizes).items()}

    def misc(self, sizes: Sizes) -> dict[str, nn.Module]:
        """Returns new modules for `misc_keys`, but for the training progress."""
        return {key: module for part in self for key, module in part.misc(sizes).items()}

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
            values[part.kind] = type(part).__name__
            values |= {f"{part.kind}.{name}": value for name, value in part.settings.items()}
        return values

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Recipe":
        """Returns the recipe that `settings` describes. Keys that name no kind are ignored, as are kinds with None.

        Raises:
            ValueError: an unknown class of part, or invalid settings of a part.
        """
        return cls(
            *(
                class_of(kind, name)(**own_settings(class_of(kind, name), settings))
                for kind, name in settings.items()
                if name is not None and kind in {part.kind for part in KINDS.values()}
            )
        )

    def __repr__(self) -> str:
        return f"Recipe({', '.join(map(repr, self))})"


def name_of(kind: Kind) -> str:
    """Returns the name of a kind, given by name or class."""
    return kind if isinstance(kind, str) else kind.kind


def is_of(part: Part, kind: Kind) -> bool:
    """Returns whether a part is of a kind, given by name, or of a class."""
    return part.kind == kind if isinstance(kind, str) else isinstance(part, kind)


def class_of(kind: str, name: str) -> type[Part]:
    """Returns the part class of a kind by its name. Raises `ValueError` for an unknown name."""
    known = [of_kind for of_kind, part in KINDS.items() if part.kind == kind]
    if name not in known:
        raise ValueError(f"{kind} must be one of {', '.join(known)} or None, got {name!r}")
    return KINDS[name]


def own_settings(part: type[Part], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of one part out of those of a recipe."""
    names = [one.name for one in fields(part)]
    return {name: settings[f"{part.kind}.{name}"] for name in names if f"{part.kind}.{name}" in settings}


def check_together(parts: Iterable[Part]) -> None:
    """Raises `ValueError` for two parts of a kind, a wrong order, or a part without one that it requires."""
    parts = list(parts)
    places = {part.kind: place for place, part in enumerate(parts)}
    twice = [kind for kind, number in Counter(part.kind for part in parts).items() if number > 1]
    if twice:
        named = [type(part).__name__ for part in parts if part.kind in twice]
        raise ValueError(f"a recipe has one part of a kind, got {' and '.join(named)}")
    for place, part in enumerate(parts):
        name = type(part).__name__
        for kind in part.requires:
            if not any(is_of(other, kind) for other in parts):
                wanted = repr(kind) if isinstance(kind, str) else kind.__name__
                raise ValueError(f"{name} requires a part {wanted}, the recipe has {', '.join(places)}")
        late = [kind for kind in map(name_of, (*part.requires, *part.after)) if places.get(kind, -1) > place]
        if late:
            first = type(parts[places[late[0]]]).__name__
            raise ValueError(f"{first} must come before {name}, which reads what it writes")


DEFAULT = Recipe(
    PrototypeLabels(threshold=0.5),
    CosineMargin(weight=0.2, margin=0.2, scale=8.0),
    ConditionalMI(weight=0.3, warmup=WarmUp.LINEAR),
    MinimumClassConfusion(weight=1.0, temperature=2.5, warmup=WarmUp.SIGMOID),
    SourceAugmentation(probability=0.5),
    TargetConsistency(weight=1.0, probability=0.5, warmup=WarmUp.SIGMOID),
    SourceClassification(label_smoothing=0.05),
)

PUBLISHED = Recipe(
    ArgmaxLabels(),
    CenterMargin(weight=0.01, margin=100.0, warmup=WarmUp.SIGMOID),
    MarginalMI(weight=0.01),
    SourceClassification(label_smoothing=0.0),
)

RECIPES = {"default": DEFAULT, "published": PUBLISHED}


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
    """Returns a text for messages: the name of a built-in recipe, or all parts."""
    return next((repr(name) for name, known in RECIPES.items() if known == recipe), repr(recipe))
