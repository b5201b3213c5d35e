"""Recipes: which parts the method is made of, and how much each counts."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from . import keys
from .checks import check_fractions

PARTS = ("margin", "mi", "prototypes", "style", "view", "confusion")


@dataclass(frozen=True)
class Recipe:
    """Settings of DMSRL as a whole. Frozen: make a variant with `dataclasses.replace` or `without`.

    Args:
        label_smoothing: share of a source label spread over all classes in the classification loss, 0..1.
        margin: "cosine" for `CosineMarginLoss`, "centers" for `MarginMetricLoss`, None for no metric learning.
        margin_weight: weight of `margin_metric_loss`.
        margin_size: m of `CosineMarginLoss`, 0..2 in units of cosine; M of `MarginMetricLoss`, squared feature units.
        margin_scale: s of `CosineMarginLoss`; `MarginMetricLoss` has none.
        margin_ramp: let that weight rise with training.
        mi: "conditional" on the class or "marginal", both by a critic behind gradient reversal; "two_branch" for a
            bound on what features and a domain-sensitive branch share; None for no mutual information term.
        mi_weight: weight of `mi_loss`, for critic and features alike; branch and estimator learn with weight 1.
        mi_ramp: let the gradient that reaches the features rise with training.
        mi_entropy_conditioning: in the conditional form, count target samples by how certain their class is.
        mi_images_only: leave features of inputs that are not images as they are.
        labeler: "prototypes" for `PrototypeLabeler`, "argmax" for the classifier's own labels, None for none.
        label_threshold: share of a class's mean trust below which `PrototypeLabeler` rejects a sample.
        label_ramp: let the trust in these labels rise with training.
        confusion_weight: weight of upstream's minimum class confusion on the target, 0 for none.
        confusion_temperature: its softmax temperature.
        confusion_ramp: let that weight rise with training.
        style_probability: share of the source images shown in a random style, 0 for none.
        style_by_skill: let that share rise with how well the network tells source images as they are.
        affine_strength: how far those images, and those of `view_probability`, are also turned, scaled, sheared and
            shifted, 0 for not at all; at 1 by up to 15 degrees and a factor of 1.2, see `RandomAffine`.
        view_weight: weight of the agreement of target images in a random style with the same images as they are, 0 for
            none; then the target is seen as it is.
        view_ramp: let that weight rise with training.
        view_probability: share of the target images shown in a random style. Each takes a forward pass without a
            gradient more.
    """

    label_smoothing: float
    margin: str | None
    margin_weight: float
    margin_size: float
    margin_scale: float
    margin_ramp: bool
    mi: str | None
    mi_weight: float
    mi_ramp: bool
    mi_entropy_conditioning: bool
    mi_images_only: bool
    labeler: str | None
    label_threshold: float
    label_ramp: bool
    confusion_weight: float
    confusion_temperature: float
    confusion_ramp: bool
    style_probability: float
    style_by_skill: bool
    affine_strength: float
    view_weight: float
    view_ramp: bool
    view_probability: float

    def __post_init__(self) -> None:
        margins, labelers = ("cosine", "centers"), ("prototypes", "argmax")
        kinds = ("conditional", "marginal", "two_branch")
        for name, allowed in (("margin", margins), ("mi", kinds), ("labeler", labelers)):
            if getattr(self, name) not in (*allowed, None):
                raise ValueError(f"{name} must be one of {allowed} or None, got {getattr(self, name)!r}")
        weights = ("margin_weight", "mi_weight", "confusion_weight", "view_weight")
        for name in (*weights, "margin_size", "label_threshold", "affine_strength"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name in ("margin_scale", "confusion_temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        shares = ("label_smoothing", "style_probability", "view_probability")
        check_fractions(**{name: getattr(self, name) for name in shares})

    def without(self, part: str) -> "Recipe":
        """Gives the recipe with one of `PARTS` taken out, for ablations."""
        taken_out: dict[str, Callable[[], Recipe]] = {
            "margin": lambda: replace(self, margin=None),
            "mi": lambda: replace(self, mi=None),
            "prototypes": lambda: replace(self, labeler=None),
            "style": lambda: replace(self, style_probability=0.0),
            "view": lambda: replace(self, view_weight=0.0),
            "confusion": lambda: replace(self, confusion_weight=0.0),
        }
        if part not in taken_out:
            raise ValueError(f"part must be one of {PARTS}, got {part!r}")
        return taken_out[part]()

    @property
    def parts(self) -> list[str]:
        """Those of `PARTS` that the recipe has."""
        return [part for part in PARTS if self.without(part) != self]

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of every loss that the recipe makes, by loss key."""
        weights = {keys.CLASSIFICATION_LOSS: 1.0}
        if self.margin is not None:
            weights[keys.MARGIN_METRIC_LOSS] = self.margin_weight
        if self.mi is not None:
            weights[keys.MI_LOSS] = self.mi_weight
        if self.mi == "two_branch":
            weights |= {keys.MI_ESTIMATOR_LOSS: 1.0, keys.MI_BRANCH_LOSS: 1.0}
        if self.confusion_weight > 0:
            weights[keys.CONFUSION_LOSS] = self.confusion_weight
        if self.view_weight > 0:
            weights[keys.CONSISTENCY_LOSS] = self.view_weight
        return weights

    @property
    def model_keys(self) -> list[str]:
        """Keys of the trained modules the recipe needs besides G and C."""
        of_mi = {None: [], "two_branch": [keys.MI_BRANCH, keys.MI_ESTIMATOR]}.get(self.mi, [keys.MI_CRITIC])
        return [*([keys.MARGIN_METRIC] if self.margin is not None else []), *of_mi]

    @property
    def misc_keys(self) -> list[str]:
        """Keys of the modules without trained parameters the recipe needs."""
        labeler = [keys.PSEUDO_LABELER] if self.labeler is not None else []
        return [keys.TRAINING_PROGRESS, *([keys.SOURCE_ACCURACY] if self.follows_skill else []), *labeler]

    @property
    def follows_skill(self) -> bool:
        """Whether a part depends on how well the source is learned."""
        return self.style_by_skill and self.style_probability > 0


PUBLISHED = Recipe(
    label_smoothing=0.0,
    margin="centers",
    margin_weight=0.01,
    margin_size=100.0,
    margin_scale=1.0,
    margin_ramp=True,
    mi="marginal",
    mi_weight=0.01,
    mi_ramp=False,
    mi_entropy_conditioning=False,
    mi_images_only=False,
    labeler="argmax",
    label_threshold=0.0,
    label_ramp=False,
    confusion_weight=0.0,
    confusion_temperature=1.0,
    confusion_ramp=False,
    style_probability=0.0,
    style_by_skill=False,
    affine_strength=0.0,
    view_weight=0.0,
    view_ramp=False,
    view_probability=0.0,
)

DEFAULT = Recipe(
    label_smoothing=0.05,
    margin="cosine",
    margin_weight=0.2,
    margin_size=0.2,
    margin_scale=8.0,
    margin_ramp=False,
    mi="conditional",
    mi_weight=0.3,
    mi_ramp=True,
    mi_entropy_conditioning=True,
    mi_images_only=True,
    labeler="prototypes",
    label_threshold=0.5,
    label_ramp=True,
    confusion_weight=1.0,
    confusion_temperature=2.5,
    confusion_ramp=True,
    style_probability=0.5,
    style_by_skill=True,
    affine_strength=1.0,
    view_weight=1.0,
    view_ramp=True,
    view_probability=0.5,
)

RECIPES = {"default": DEFAULT, "published": PUBLISHED}


def get_recipe(recipe: str | Recipe) -> Recipe:
    """Gives the recipe of that name, or the recipe itself. Raises `ValueError` for an unknown name."""
    if isinstance(recipe, Recipe):
        return recipe
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {tuple(RECIPES)} or a Recipe, got {recipe!r}")
    return RECIPES[recipe]
