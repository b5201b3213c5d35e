"""Recipes: which parts a method is made of, and how much each counts."""

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
    """A method as a tuple of parts. Their hooks run, and their losses are added, in this order.

    `Recipe(part, another_part, ...)` takes at most one part of a kind, each after those whose results it reads. Make a
    variant by `without` and `replace`, or from parts: `Recipe(*DEFAULT, KnownTargetLabels())`.

    Raises:
        TypeError: something that is not a part.
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
        """Returns the part of that kind, given by its name or a class; None where there is none."""
        return next((part for part in self if part.kind == name_of(kind)), None)

    def without(self, *kinds: Kind) -> "Recipe":
        """Returns the recipe without the parts of some kinds. Raises `ValueError` for a kind that it does not have."""
        names = [self._known(kind) for kind in kinds]
        return Recipe(*(part for part in self if part.kind not in names))

    def replace(self, kind: Kind | Part, **settings: Any) -> "Recipe":
        """Returns the recipe with other settings of one part; or with another part, which takes the place of the one of
        its kind.

        Raises `ValueError` for a kind that it does not have, `TypeError` for a setting that the part does not have.
        """
        name = self._known(kind.kind if isinstance(kind, Part) else kind)

        def changed(part: Part) -> Part:
            return replace_fields(kind if isinstance(kind, Part) else part, **settings)

        return Recipe(*(changed(part) if part.kind == name else part for part in self))

    def ablated(self, kind: Kind) -> "Recipe":
        """Returns the recipe for an ablation: without that part, or with weight 0 where its modules draw random numbers
        that the rest of the run is to keep."""
        name = self._known(kind)
        stand_ins = ((part.ablated() if part.kind == name else part) for part in self)
        return Recipe(*(part for part in stand_ins if part is not None))

    def _known(self, kind: Kind) -> str:
        name = name_of(kind)
        if name not in self.kinds:
            raise ValueError(f"the recipe has no part {name!r}, it has {', '.join(self.kinds)}")
        return name

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of every loss, by loss key."""
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
        """Class and arguments of the optimizer of G, C and all modules whose part says nothing else."""
        return next((part.usual_optimizer for part in self if part.usual_optimizer is not None), ADAM)

    @property
    def optimizers(self) -> dict[str, OptimizerChoice]:
        """Class and arguments of an optimizer for G, C and every trained module, by key."""
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
        """Returns the recipe that `settings` describes. Keys that name no part are ignored, so are parts of None.

        Raises:
            ValueError: an unknown class of part, or wrong settings of one.
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
    """Returns the name of a kind of part, which is given by it or by a class."""
    return kind if isinstance(kind, str) else kind.kind


def class_of(kind: str, name: str) -> type[Part]:
    """Returns the class of parts of that name. Raises `ValueError` unless there is one of that kind."""
    known = [of_kind for of_kind, part in KINDS.items() if part.kind == kind]
    if name not in known:
        raise ValueError(f"{kind} must be one of {', '.join(known)} or None, got {name!r}")
    return KINDS[name]


def own_settings(part: type[Part], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of one part out of those of a recipe."""
    names = [one.name for one in fields(part)]
    return {name: settings[f"{part.kind}.{name}"] for name in names if f"{part.kind}.{name}" in settings}


def check_together(parts: Iterable[Part]) -> None:
    """Raises `ValueError` where parts contradict each other, are in an order in which they cannot work, or one lacks
    what it requires."""
    parts = list(parts)
    places = {part.kind: place for place, part in enumerate(parts)}
    twice = [kind for kind, number in Counter(part.kind for part in parts).items() if number > 1]
    if twice:
        named = [type(part).__name__ for part in parts if part.kind in twice]
        raise ValueError(f"a recipe has one part of a kind, got {' and '.join(named)}")
    for place, part in enumerate(parts):
        name = type(part).__name__
        missing = [kind for kind in part.requires if kind not in places]
        if missing:
            raise ValueError(f"{name} requires a part of kind {missing[0]!r}, the recipe has {list(places)}")
        late = [kind for kind in (*part.requires, *part.after) if places.get(kind, -1) > place]
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
    """Returns the recipe of that name, or the recipe itself.

    Raises:
        ValueError: an unknown name.
        TypeError: something else.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if not isinstance(recipe, str):
        raise TypeError(f"recipe must be one of {tuple(RECIPES)} or a Recipe, got {type(recipe).__name__}")
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {tuple(RECIPES)} or a Recipe, got {recipe!r}")
    return RECIPES[recipe]


def described(recipe: Recipe) -> str:
    """Returns the name of a recipe for messages: that by which it can be had, or all of its parts."""
    return next((repr(name) for name, known in RECIPES.items() if known == recipe), repr(recipe))
