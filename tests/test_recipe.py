from dataclasses import FrozenInstanceError, replace

import pytest

from dmsrl_adapt import Recipe
from dmsrl_adapt.recipe import DEFAULT, PARTS, PUBLISHED, RECIPES, get_recipe


def test_published_recipe_is_that_of_the_paper():
    assert (PUBLISHED.margin, PUBLISHED.margin_weight, PUBLISHED.margin_ramp) == ("centers", 0.01, True)
    assert PUBLISHED.margin_size == 100
    assert (PUBLISHED.mi, PUBLISHED.mi_weight, PUBLISHED.mi_ramp) == ("marginal", 0.01, False)
    assert PUBLISHED.labeler == "argmax"
    assert PUBLISHED.confusion_weight == 0
    assert PUBLISHED.loss_weights == {"src_c_loss": 1.0, "margin_metric_loss": 0.01, "mi_loss": 0.01}
    # whatever else a recipe can have is off
    assert PUBLISHED.style_probability == PUBLISHED.label_smoothing == PUBLISHED.view_weight == 0
    assert (PUBLISHED.label_ramp, PUBLISHED.confusion_ramp, PUBLISHED.view_ramp) == (False, False, False)


def test_recipes_by_name():
    assert RECIPES == {"default": DEFAULT, "published": PUBLISHED}
    assert get_recipe("default") is DEFAULT
    assert get_recipe("published") is PUBLISHED
    own = replace(DEFAULT, mi_weight=3.0)
    assert get_recipe(own) is own


@pytest.mark.parametrize("name", ["best", "Default", ""])
def test_unknown_name_is_refused_with_those_there_are(name):
    with pytest.raises(ValueError, match=rf"recipe must be one of \('default', 'published'\) .* got '{name}'"):
        get_recipe(name)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize(
    ("part", "field", "off"),
    [
        ("margin", "margin", None),
        ("mi", "mi", None),
        ("prototypes", "labeler", None),
        ("style", "style_probability", 0.0),
        ("view", "view_weight", 0.0),
        ("confusion", "confusion_weight", 0.0),
    ],
)
def test_without_takes_one_part_out_and_leaves_the_rest(recipe, part, field, off):
    assert recipe.without(part) == replace(recipe, **{field: off})


def test_default_recipe_has_every_part():
    """An ablation that takes out what is not there would say nothing."""
    assert all(DEFAULT.without(part) != DEFAULT for part in PARTS)


def test_without_knows_its_parts():
    assert all(isinstance(DEFAULT.without(part), Recipe) for part in PARTS)
    with pytest.raises(ValueError, match=r"part must be one of \('margin', .* got 'local'"):
        DEFAULT.without("local")


def test_keys_follow_the_parts():
    bare = DEFAULT
    for part in PARTS:
        bare = bare.without(part)
    assert bare.loss_weights == {"src_c_loss": 1.0}
    assert bare.model_keys == []
    assert bare.misc_keys == ["training_progress"]
    whole = replace(bare, margin="cosine", mi="marginal", labeler="argmax", confusion_weight=0.3, margin_weight=0.4)
    whole = replace(whole, view_weight=0.6)
    assert whole.model_keys == ["margin_metric", "mi_critic"]
    assert whole.misc_keys == ["training_progress", "pseudo_labeler"]
    assert replace(bare, style_probability=0.5).misc_keys == ["training_progress", "source_accuracy"]
    assert replace(bare, style_probability=0.5, style_by_skill=False).misc_keys == ["training_progress"]
    assert whole.loss_weights.keys() == {
        "src_c_loss",
        "margin_metric_loss",
        "mi_loss",
        "mcc_loss",
        "consistency_loss",
    }
    assert whole.loss_weights["consistency_loss"] == 0.6
    branches = replace(bare, mi="two_branch", mi_weight=0.2)
    assert branches.model_keys == ["mi_branch", "mi_estimator"]
    assert branches.loss_weights == {"src_c_loss": 1, "mi_loss": 0.2, "mi_estimator_loss": 1, "mi_branch_loss": 1}
    assert (whole.loss_weights["margin_metric_loss"], whole.loss_weights["mcc_loss"]) == (0.4, 0.3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"margin": "arc"}, r"margin must be one of \('cosine', 'centers'\) or None, got 'arc'"),
        ({"mi": "club"}, r"mi must be one of \('conditional', 'marginal', 'two_branch'\) or None, got 'club'"),
        ({"labeler": "oracle"}, r"labeler must be one of \('prototypes', 'argmax'\) or None, got 'oracle'"),
        ({"margin_weight": -0.1}, r"margin_weight must be at least 0, got -0\.1"),
        ({"margin_size": -0.1}, r"margin_size must be at least 0, got -0\.1"),
        ({"margin_scale": 0.0}, r"margin_scale must be positive, got 0\.0"),
        ({"label_threshold": -0.1}, r"label_threshold must be at least 0, got -0\.1"),
        ({"mi_weight": -1.0}, r"mi_weight must be at least 0, got -1\.0"),
        ({"confusion_weight": -1.0}, r"confusion_weight must be at least 0, got -1\.0"),
        ({"confusion_temperature": 0.0}, r"confusion_temperature must be positive, got 0\.0"),
        ({"style_probability": 1.1}, r"style_probability must be in 0\.\.1, got 1\.1"),
        ({"view_probability": 1.1}, r"view_probability must be in 0\.\.1, got 1\.1"),
        ({"view_weight": -1.0}, r"view_weight must be at least 0, got -1\.0"),
        ({"label_smoothing": 1.1}, r"label_smoothing must be in 0\.\.1, got 1\.1"),
        ({"label_smoothing": -0.1}, r"label_smoothing must be in 0\.\.1, got -0\.1"),
    ],
)
def test_bad_settings(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(DEFAULT, **changed)


def test_recipes_are_frozen():
    with pytest.raises(FrozenInstanceError):
        DEFAULT.mi_weight = 2.0
