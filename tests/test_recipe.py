import copy
import math
import pickle
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import ClassVar

import pytest
import torch

from dmsrl_adapt import DEFAULT, PUBLISHED, Recipe
from dmsrl_adapt.parts import (
    ArgmaxLabels,
    CenterMargin,
    ConditionalMI,
    CosineMargin,
    KnownTargetLabels,
    MarginalMI,
    MarginDisparity,
    MinimumClassConfusion,
    Part,
    PrototypeLabels,
    Sizes,
    SourceAugmentation,
    SourceClassification,
    TargetConsistency,
    TwoBranchMI,
)
from dmsrl_adapt.parts.margin import Margin
from dmsrl_adapt.parts.part import PART_CLASSES
from dmsrl_adapt.recipe import RECIPES, described, get_recipe


def test_published_recipe_is_that_of_the_paper():
    assert (
        Recipe(
            ArgmaxLabels(warmup="none"),
            CenterMargin(weight=0.01, margin=100.0, warmup="sigmoid"),
            MarginalMI(weight=0.01, warmup="none"),
            SourceClassification(label_smoothing=0.0),
        )
        == PUBLISHED
    )
    assert PUBLISHED.loss_weights == {"margin_metric_loss": 0.01, "mi_loss": 0.01, "src_c_loss": 1.0}
    sgd = (torch.optim.SGD, {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4})
    centers = (torch.optim.SGD, {"lr": 1.0})
    assert PUBLISHED.optimizers == {"G": sgd, "C": sgd, "mi_critic": sgd, "margin_metric": centers}


def test_recipes_by_name():
    assert {"default": DEFAULT, "published": PUBLISHED, "source_only": Recipe(SourceClassification())} == RECIPES
    assert get_recipe("default") is DEFAULT
    assert get_recipe("published") is PUBLISHED
    own = DEFAULT.replace("mi", weight=3.0)
    assert get_recipe(own) is own


@pytest.mark.parametrize("name", ["best", "Default", ""])
def test_unknown_name_is_refused_with_those_there_are(name):
    with pytest.raises(
        ValueError, match=rf"recipe must be one of \('default', 'published', 'source_only'\) .* got '{name}'"
    ):
        get_recipe(name)


@pytest.mark.parametrize("recipe", [None, {"margin": 1.0}, ("default",)])
def test_something_else_is_no_recipe(recipe):
    with pytest.raises(
        TypeError, match=r"recipe must be one of \('default', 'published', 'source_only'\) or a Recipe, got"
    ):
        get_recipe(recipe)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_without_takes_one_part_out_and_leaves_the_rest(recipe):
    for part in recipe:
        for kind in (part.kind, type(part)):
            assert recipe.without(kind) == tuple(one for one in recipe if one is not part)
            assert recipe.get(kind) is part
    assert isinstance(recipe.without(recipe.kinds[0]), Recipe)
    assert recipe.without(*recipe.kinds) == Recipe()


def test_a_class_means_that_class_and_not_its_kind():
    assert PUBLISHED.get(CosineMargin) is None
    assert PUBLISHED.get(Margin) is PUBLISHED.get("margin") is PUBLISHED.get(CenterMargin)
    for change in (PUBLISHED.without, PUBLISHED.replace, PUBLISHED.ablated):
        with pytest.raises(ValueError, match="the recipe has no part CosineMargin, it has pseudo_labels, margin"):
            change(CosineMargin)


@pytest.mark.parametrize("change", [lambda: DEFAULT.without("local"), lambda: DEFAULT.replace("local", weight=1.0)])
def test_a_kind_that_is_not_there_is_named_with_those_that_are(change):
    with pytest.raises(ValueError, match="the recipe has no part 'local', it has pseudo_labels, margin, mi, mcc,"):
        change()


def test_replace_changes_numbers_or_the_whole_part():
    assert DEFAULT.replace("margin", scale=16.0).get("margin") == CosineMargin(weight=0.2, margin=0.2, scale=16.0)
    assert DEFAULT.replace(CosineMargin, scale=16.0) == DEFAULT.replace("margin", scale=16.0)
    other = DEFAULT.replace(MarginalMI(weight=0.1))
    assert other.get("mi") == MarginalMI(weight=0.1)
    assert other.kinds == DEFAULT.kinds
    with pytest.raises(TypeError, match="size"):
        DEFAULT.replace("margin", size=0.1)


def test_an_ablation_keeps_modules_that_draw_random_numbers():
    assert DEFAULT.ablated("margin") == DEFAULT.replace("margin", weight=0.0)
    assert DEFAULT.ablated("mi") == DEFAULT.replace("mi", weight=0.0)
    others = set(DEFAULT.kinds) - {"margin", "mi"}
    assert all(DEFAULT.ablated(kind) == DEFAULT.without(kind) for kind in others)


def test_keys_follow_the_parts():
    bare = Recipe(SourceClassification())
    assert bare.loss_weights == {"src_c_loss": 1.0}
    assert (bare.model_keys, bare.misc_keys) == ([], ["training_progress"])
    whole = Recipe(ArgmaxLabels(), CosineMargin(0.4), MarginalMI(0.3), MinimumClassConfusion(0.2), *bare)
    assert whole.model_keys == ["margin_metric", "mi_critic"]
    assert whole.misc_keys == ["training_progress", "pseudo_labeler"]
    assert Recipe(SourceAugmentation()).misc_keys == ["training_progress", "source_accuracy"]
    assert Recipe(SourceAugmentation(accuracy_gate=False)).misc_keys == ["training_progress"]
    assert whole.loss_weights == {"margin_metric_loss": 0.4, "mi_loss": 0.3, "mcc_loss": 0.2, "src_c_loss": 1.0}
    branches = Recipe(TwoBranchMI(weight=0.2))
    assert branches.model_keys == ["mi_branch", "mi_estimator"]
    assert branches.loss_weights == {"mi_loss": 0.2, "mi_estimator_loss": 1, "mi_branch_loss": 1}
    fast = (torch.optim.Adam, {"lr": 4e-3, "weight_decay": 5e-4})
    assert branches.optimizers["mi_branch"] == branches.optimizers["mi_estimator"] == fast
    assert branches.optimizers["G"] == (torch.optim.Adam, {"lr": 1e-3, "weight_decay": 5e-4})


BAD_NUMBERS = [
    (lambda x: CosineMargin(weight=x), "weight must be finite and at least 0", -0.1),
    (lambda x: CenterMargin(weight=x), "weight must be finite and at least 0", -0.1),
    (lambda x: CosineMargin(0.2, margin=x), r"margin in 0\.\.2", 2.1),
    (lambda x: CosineMargin(0.2, scale=x), "scale must be positive", 0.0),
    (lambda x: CenterMargin(0.2, margin=x), "margin must be finite and at least 0", -1.0),
    (lambda x: MarginDisparity(weight=x), "weight must be finite and at least 0", -1.0),
    (lambda x: MarginDisparity(margin=x), "margin must be finite and above 0", 0.0),
    (lambda x: MarginDisparity(reversal=x), "reversal must be finite and at least 0", -0.1),
    (lambda x: ConditionalMI(weight=x), "weight must be finite and at least 0", -1.0),
    (lambda x: MarginalMI(weight=x), "weight must be finite and at least 0", -1.0),
    (lambda x: ConditionalMI(0.2, label_smoothing=x), r"label_smoothing must be in 0\.\.1", 1.1),
    (lambda x: MarginalMI(0.2, label_smoothing=x), r"label_smoothing must be in 0\.\.1", -0.1),
    (lambda x: TwoBranchMI(weight=x), "weight must be finite and at least 0", -1.0),
    (lambda x: PrototypeLabels(threshold=x), "threshold must be finite and at least 0", -0.1),
    (lambda x: MinimumClassConfusion(weight=x), "weight must be finite and at least 0", -1.0),
    (lambda x: MinimumClassConfusion(1.0, temperature=x), "temperature must be finite and above 0", 0.0),
    (lambda x: SourceAugmentation(probability=x), r"probability must be in 0\.\.1", 1.1),
    (lambda x: SourceAugmentation(affine_strength=x), "affine_strength must be finite and at least 0", -0.1),
    (lambda x: TargetConsistency(weight=x), "weight must be finite and at least 0", -1.0),
    (lambda x: TargetConsistency(1.0, probability=x), "probability must be above 0 and at most 1", 0.0),
    (lambda x: TargetConsistency(1.0, affine_strength=x), "affine_strength must be finite and at least 0", -0.1),
    (lambda x: SourceClassification(label_smoothing=x), r"label_smoothing must be in 0\.\.1", 1.1),
    (lambda x: KnownTargetLabels(weight=x), "weight must be finite and at least 0", -1.0),
    (lambda x: KnownTargetLabels(label_smoothing=x), r"label_smoothing must be in 0\.\.1", -0.1),
]


@pytest.mark.parametrize(("make", "message", "value"), BAD_NUMBERS)
def test_numbers_out_of_range_are_refused_when_the_part_is_made(make, message, value):
    for bad in (value, math.nan):
        with pytest.raises(ValueError, match=message):
            make(bad)


def test_unknown_prototypes_are_refused_when_the_part_is_made():
    with pytest.raises(ValueError, match=r"prototypes must be one of \('both', 'target'\), got 'source'"):
        PrototypeLabels(prototypes="source")


@pytest.mark.parametrize("part", [ConditionalMI, MarginalMI])
def test_label_smoothing_is_that_of_the_critic(part):
    sizes = Sizes(4, 3, 10)
    assert part(0.2, label_smoothing=0.2).models()["mi_critic"](sizes).label_smoothing == 0.2
    assert part(0.2).models()["mi_critic"](sizes).label_smoothing == 0.0


WARMED_UP = [ArgmaxLabels, PrototypeLabels]
WEIGHTED = [CosineMargin, CenterMargin, MarginDisparity, ConditionalMI, MarginalMI, TwoBranchMI, MinimumClassConfusion]


@pytest.mark.parametrize("part", [*WARMED_UP, *WEIGHTED, TargetConsistency])
def test_warm_ups_by_name(part):
    weight = {} if part in WARMED_UP else {"weight": 1.0}
    assert part(**weight, warmup="linear").warmup(0.25) == 0.25
    assert part(**weight, warmup="none").warmup(0.25) == 1
    with pytest.raises(ValueError, match=r"warmup must be one of \['none', 'linear', 'sigmoid'\], got 'cosine'"):
        part(**weight, warmup="cosine")


def test_settings_that_are_not_given_are_those_of_the_page():
    """They are written down a second time here, since results of users depend on them."""
    assert PrototypeLabels() == PrototypeLabels(threshold=0.5, warmup="linear", prototypes="both")
    assert ArgmaxLabels() == ArgmaxLabels(warmup="none")
    assert CosineMargin(0.2) == CosineMargin(weight=0.2, margin=0.2, scale=8.0, warmup="none")
    assert CenterMargin(0.2) == CenterMargin(weight=0.2, margin=100.0, warmup="sigmoid")
    assert MarginDisparity() == MarginDisparity(weight=1.0, margin=4.0, reversal=0.1, warmup="sigmoid")
    assert ConditionalMI(0.2) == ConditionalMI(0.2, warmup="linear", entropy_conditioning=True)
    assert MarginalMI(0.2) == MarginalMI(weight=0.2, warmup="none", label_smoothing=0.0)
    assert ConditionalMI(0.2).label_smoothing == 0.0
    assert TwoBranchMI(0.2) == TwoBranchMI(weight=0.2, warmup="linear")
    assert MinimumClassConfusion(0.2) == MinimumClassConfusion(weight=0.2, temperature=2.5, warmup="sigmoid")
    assert SourceAugmentation() == SourceAugmentation(probability=0.5, affine_strength=1.0, accuracy_gate=True)
    consistency = TargetConsistency(weight=0.2, probability=0.5, affine_strength=1.0, warmup="sigmoid")
    assert TargetConsistency(0.2) == consistency
    assert SourceClassification() == SourceClassification(label_smoothing=0.05)
    assert KnownTargetLabels() == KnownTargetLabels(weight=1.0, label_smoothing=0.05)
    assert Sizes(feature_dim=2, num_classes=3, num_target=4) == Sizes(2, 3, 4, num_domains=2)


@dataclass(frozen=True)
class NoKind(Part):
    weight: float = 1.0


@dataclass(frozen=True)
class SameModule(CosineMargin):
    kind: ClassVar = "second_margin"


@dataclass(frozen=True)
class OwnG(Part):
    kind: ClassVar = "own_g"

    def models(self):
        return {"G": lambda sizes: torch.nn.Linear(sizes.feature_dim, 1)}


@dataclass(frozen=True)
class OwnProgress(Part):
    kind: ClassVar = "own_progress"

    def misc(self):
        return {"training_progress": lambda sizes: torch.nn.Identity()}


@dataclass(frozen=True)
class SameLoss(Part):
    kind: ClassVar = "same_loss"
    loss_weights: ClassVar = {"mi_loss": 1.0}


@dataclass(frozen=True)
class NeedsLabels(Part):
    kind: ClassVar = "needs_labels"
    requires: ClassVar = ("pseudo_labels",)


def test_a_part_has_nothing_but_what_it_says():
    part = NeedsLabels()
    assert part.models() == part.misc() == part.loss_weights == part.optimizers(DEFAULT.usual_optimizer) == {}
    assert part.hooks_before() == part.hooks() == []
    assert part.ablated() is None


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((CosineMargin(0.2), CenterMargin(0.2)), "one part of a kind, got CosineMargin and CenterMargin"),
        ((CosineMargin(0.2), ArgmaxLabels()), "ArgmaxLabels must come before CosineMargin, which reads what it writes"),
        ((NeedsLabels(),), "NeedsLabels requires a part 'pseudo_labels', the recipe has needs_labels"),
        ((NeedsLabels(), ArgmaxLabels()), "ArgmaxLabels must come before NeedsLabels"),
        ((NoKind(),), "NoKind must have a kind, a name without dots, got ''"),
        ((CosineMargin(0.2), SameModule(0.2)), "CosineMargin and SameModule have 'margin_metric'"),
        ((OwnG(),), "DMSRL and OwnG have 'G'"),
        ((OwnProgress(),), "DMSRL and OwnProgress have 'training_progress'"),
        ((ConditionalMI(0.1), SameLoss()), "ConditionalMI and SameLoss have 'mi_loss'"),
    ],
)
def test_parts_that_cannot_be_together_are_refused_when_the_recipe_is_made(parts, message):
    with pytest.raises(ValueError, match=message):
        Recipe(*parts)
    assert Recipe(ArgmaxLabels(), NeedsLabels()).kinds == ("pseudo_labels", "needs_labels")
    with pytest.raises(ValueError, match="NeedsLabels requires"):
        Recipe(ArgmaxLabels(), NeedsLabels()).without("pseudo_labels")


def test_a_part_may_require_one_class_of_a_kind():
    @dataclass(frozen=True)
    class NeedsPrototypes(Part):
        kind: ClassVar = "needs_prototypes"
        requires: ClassVar = (PrototypeLabels,)

    assert Recipe(PrototypeLabels(), NeedsPrototypes()).kinds == ("pseudo_labels", "needs_prototypes")
    with pytest.raises(
        ValueError, match="NeedsPrototypes requires a part PrototypeLabels, the recipe has pseudo_labels"
    ):
        Recipe(ArgmaxLabels(), NeedsPrototypes())
    with pytest.raises(ValueError, match="PrototypeLabels must come before NeedsPrototypes"):
        Recipe(NeedsPrototypes(), PrototypeLabels())


@pytest.mark.parametrize("part", ["margin", CosineMargin, None])
def test_a_recipe_is_made_of_parts(part):
    with pytest.raises(TypeError, match="a recipe is made of parts, got"):
        Recipe(part)


@pytest.mark.parametrize("recipe", [*RECIPES.values(), Recipe(*DEFAULT, KnownTargetLabels()), Recipe()])
def test_settings_describe_a_recipe_in_full(recipe):
    assert Recipe.from_settings(recipe.settings) == recipe
    assert Recipe.from_settings({"batch_size": 64, **recipe.settings, "weight": 0.1}) == recipe
    assert all(isinstance(value, (str, float, bool)) for value in recipe.settings.values())


def test_a_part_of_none_is_left_out():
    assert Recipe.from_settings({**DEFAULT.settings, "mi": None}) == DEFAULT.without("mi")


@pytest.mark.parametrize("changed", [{"margin.nope": 3}, {"margin.scale": -1.0}, {"mi.warmup": "cosine"}])
def test_settings_that_a_part_does_not_have_are_refused(changed):
    with pytest.raises(ValueError, match=r"must have the settings|must be"):
        Recipe.from_settings({**DEFAULT.settings, **changed})


def test_a_part_from_elsewhere_takes_no_name_of_ours():
    """Nor does its kind reach settings of methods that have no recipe."""

    @dataclass(frozen=True)
    class CosineMargin(Part):
        kind: ClassVar = "weight"

    recipe = Recipe(*DEFAULT, CosineMargin())
    assert recipe.settings["weight"].endswith(
        "test_recipe.test_a_part_from_elsewhere_takes_no_name_of_ours.<locals>.CosineMargin"
    )
    assert Recipe.from_settings(recipe.settings) == recipe
    assert Recipe.from_settings(DEFAULT.settings) == DEFAULT
    PART_CLASSES.pop(recipe.settings["weight"])


def test_recipes_are_described_by_their_difference_to_the_default():
    assert described(DEFAULT) == "'default'"
    assert described(DEFAULT.replace("margin", scale=16.0)) == "'default' with margin.scale = 16.0"
    assert described(DEFAULT.without("mi")) == "'default' with no mi"


def test_settings_of_an_unknown_part_are_refused():
    known = "CosineMargin, CenterMargin, MarginDisparity"
    with pytest.raises(ValueError, match=f"margin must be one of {known} or None, got 'ArcMargin'"):
        Recipe.from_settings({"margin": "ArcMargin", "margin.weight": 0.1})


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_are_equal(make):
    assert make(DEFAULT) == DEFAULT
    assert isinstance(make(DEFAULT), Recipe)


def test_parts_are_frozen():
    with pytest.raises(FrozenInstanceError):
        DEFAULT.get("mi").weight = 2.0


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_settings_of_the_recipes_are_in_the_search_space(recipe):
    """So that a search finds nothing worse than them but by chance."""
    for part in recipe:
        for name, values in part.search_space.items():
            value = part.settings[name]
            assert value in values if isinstance(values, list) else values[0] < value < values[1]
            assert list(values) == sorted(set(values))


def test_every_number_is_in_the_search_space_or_has_one_value_that_no_trial_moves():
    """Each name in a search space is a field."""
    for part in (kind for kind in PART_CLASSES.values() if kind.__module__.startswith("dmsrl_adapt")):
        made = part(
            **(
                {}
                if part in (*WARMED_UP, SourceAugmentation, KnownTargetLabels) or issubclass(part, SourceClassification)
                else {"weight": 1.0}
            )
        )
        for name, values in part.search_space.items():
            for value in values:
                assert replace(made, **{name: value}).settings[name] == value
