"""DMSRL: the default and the published recipe, and the default with one part taken out or local features added."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from dmsrl_adapt import DMSRL, Recipe, dmsrl_components
from dmsrl_adapt.recipe import DEFAULT, PARTS, PUBLISHED

from .method import Method, Setup, Space, Trainable


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Gives our adapter for the recipe of the settings; class centres, and branch and estimator of the two-branch form,
    where it has them, keep the optimizers that the adapter gives them."""
    recipe = Recipe(**{one.name: settings[one.name] for one in fields(Recipe)})
    G = setup.feature_extractor(settings)
    parts = dmsrl_components(G.feature_dim, setup.num_classes, setup.num_target, recipe, total_steps=setup.steps)
    own = {"mi_branch", "mi_estimator"} if recipe.mi == "two_branch" else set[str]()
    own |= {"margin_metric"} if recipe.margin == "centers" else set[str]()
    containers = setup.containers({"G": G, "C": setup.classifier(G), **parts.models}, parts.misc, frozenset(own))
    return Trainable(DMSRL(**containers, hook_kwargs={"recipe": recipe}))


SPACE: Space = {
    "margin_weight": (0.05, 1.0),
    "mi_weight": (0.03, 3.0),
    "confusion_weight": (0.1, 3.0),
    "confusion_temperature": (1.5, 4.0),
    "view_weight": (0.3, 3.0),
    "style_probability": [0.0, 0.25, 0.5, 0.75],
    "affine_strength": [0.0, 0.5, 1.0, 1.5],
}
SPACE_PUBLISHED: Space = {"margin_weight": (0.001, 0.1), "mi_weight": (0.003, 1.0)}


def variant(name: str, recipe: Recipe, local: str | None = None) -> Method:
    """Gives a method that differs from the others in recipe and local features alone."""
    space = SPACE_PUBLISHED if recipe == PUBLISHED else SPACE
    return Method(name, build, {"local": local, **asdict(recipe)}, space=space)


# what an ablation takes out; layers with random numbers of their own stay in, without weight, so that the rest of the
# run has those of the whole
WEIGHTLESS = {"margin": replace(DEFAULT, margin_weight=0.0), "mi": replace(DEFAULT, mi_weight=0.0)}
METHODS = (
    variant("dmsrl", DEFAULT),
    variant("dmsrl_published", PUBLISHED, local="corners"),
    *(variant(f"dmsrl-{part}", WEIGHTLESS.get(part, DEFAULT.without(part))) for part in PARTS),
    # the default has no local features, which gained nothing on the tuning tasks: the first is dmsrl by another name
    variant("dmsrl-local", DEFAULT),
    variant("dmsrl+local", DEFAULT, local="corners"),
)
