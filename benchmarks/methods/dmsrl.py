"""DMSRL: the default and the published recipe, and the default without one part or with local features."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from dmsrl_adapt import DEFAULT, DMSRL, PUBLISHED, Recipe, dmsrl_components
from dmsrl_adapt.parts import Part

from .method import Method, Setup, Trainable


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns our adapter for the recipe of the settings; modules whose part defines an optimizer keep it."""
    recipe = Recipe.from_settings(settings)
    G = setup.feature_extractor(settings)
    parts = dmsrl_components(G.feature_dim, setup.num_classes, setup.num_target, recipe, total_steps=setup.steps)
    own = frozenset(key for part in recipe for key in part.optimizers(recipe.usual_optimizer))
    containers = setup.containers({"G": G, "C": setup.classifier(G), **parts.models}, parts.misc, own)
    return Trainable(DMSRL(**containers))


def of_recipe(name: str, recipe: Recipe, local: str | None = None) -> Method:
    """Returns the method of a recipe, with or without local features."""
    space = {f"{part.kind}.{setting}": where for part in recipe for setting, where in part.search_space.items()}
    return Method(name, build, {"local": local, **recipe.settings}, space=space, change=with_setting)


def recipe_of(method: Method) -> Recipe:
    """Returns the recipe of a method. Raises `ValueError` for a method that has none."""
    if method.build is not build:
        raise ValueError(f"{method.name} has no recipe of which a part could be taken out or added")
    return Recipe.from_settings(method.settings)


def without(method: Method, kind: str) -> Method:
    """Returns the ablation of one part of a method's recipe. Raises `ValueError` where it has no part of that kind."""
    return of_recipe(method.name, recipe_of(method).ablated(kind), method.settings["local"])


def with_part(method: Method, path: str) -> Method:
    """Returns the method with one part more, given by module and class, as in `my_package.my_part.MyPart`.

    Raises `ValueError` where there is no such part, or one that needs settings.
    """
    recipe, (module, _, name) = recipe_of(method), path.rpartition(".")
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"there is no part {path!r}: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Part)):
        raise ValueError(f"{path} must be a class of parts, got {kind!r}")
    try:
        part = kind()
    except TypeError as error:
        raise ValueError(f"all settings of {path} must have defaults: {error}") from error
    return of_recipe(method.name, Recipe(*recipe, part), method.settings["local"])


def with_setting(settings: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Returns the settings with one of them changed.

    Another class of a part, as in `margin=CenterMargin`, has its own defaults except for the weight; null removes the
    part.
    """
    old = {name: one for name, one in settings.items() if not name.startswith(f"{key}.") or name == f"{key}.weight"}
    new = {**old, key: value}
    return {"local": new["local"], **Recipe.from_settings(new).settings}


# minimum class confusion with the same augmentation and second view as the default, and none of its other parts
VIEW = Recipe(*(part for part in DEFAULT if part.kind in ("mcc", "augmentation", "consistency", "classification")))

METHODS = (
    of_recipe("dmsrl", DEFAULT),
    of_recipe("mcc_view", VIEW),
    of_recipe("dmsrl_published", PUBLISHED, local="corners"),
    *(of_recipe(f"dmsrl-{kind}", DEFAULT.ablated(kind)) for kind in DEFAULT.kinds if kind != "classification"),
    # the default has no local features, which gained nothing on the tuning tasks
    of_recipe("dmsrl+local", DEFAULT, local="corners"),
)
