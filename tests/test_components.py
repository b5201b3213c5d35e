import copy
import pickle

import pytest
from torch import nn

from dmsrl_adapt import MarginMetricLoss, PrototypeLabeler, dmsrl_components
from dmsrl_adapt.components import carried_recipe, one_recipe
from dmsrl_adapt.labelers import ArgmaxLabeler
from dmsrl_adapt.losses import AdversarialMILoss, CLUBLoss, CosineMarginLoss, DomainBranch
from dmsrl_adapt.parts import TwoBranchMI
from dmsrl_adapt.recipe import DEFAULT, PUBLISHED, RECIPES

SIZES = {"feature_dim": 8, "num_classes": 3, "num_target": 100}
TWO_BRANCH = DEFAULT.replace(TwoBranchMI(weight=0.3))


@pytest.mark.parametrize("recipe", [*RECIPES, DEFAULT.without("margin"), PUBLISHED.without("mi"), TWO_BRANCH])
def test_keys_are_those_the_recipe_asks_for(recipe):
    parts, asked = dmsrl_components(**SIZES, recipe=recipe), RECIPES.get(recipe, recipe)
    assert list(parts.models) == asked.model_keys
    assert set(parts.misc) == set(asked.misc_keys)


def test_published_parts():
    parts = dmsrl_components(**SIZES, recipe="published")
    margin, critic = parts.models["margin_metric"], parts.models["mi_critic"]
    assert isinstance(margin, MarginMetricLoss)
    assert margin.centers.shape == (2, 3, 8)
    assert margin.margin == 100
    assert isinstance(critic, AdversarialMILoss)
    assert critic.num_classes is None
    assert isinstance(parts.misc["pseudo_labeler"], ArgmaxLabeler)


def test_parts_of_our_own():
    parts = dmsrl_components(**SIZES)
    assert isinstance(parts.models["margin_metric"], CosineMarginLoss)
    assert parts.models["margin_metric"].prototypes.shape == (3, 8)
    assert parts.models["mi_critic"].num_classes == 3
    labeler = parts.misc["pseudo_labeler"]
    assert isinstance(labeler, PrototypeLabeler)
    assert (labeler.num_classes, labeler.feature_dim, labeler.num_target) == (3, 8, 100)


def test_settings_of_the_parts_are_those_of_the_recipe():
    recipe = DEFAULT.replace("margin", margin=0.3, scale=5.0).replace("pseudo_labels", threshold=0.7)
    parts = dmsrl_components(**SIZES, recipe=recipe)
    margin, labeler = parts.models["margin_metric"], parts.misc["pseudo_labeler"]
    assert (margin.margin, margin.scale, labeler.threshold) == (0.3, 5.0, 0.7)
    centers = dmsrl_components(**SIZES, recipe=PUBLISHED.replace("margin", margin=7.0)).models["margin_metric"]
    assert centers.margin == 7


def test_two_branches_fit_each_other():
    parts = dmsrl_components(**SIZES, recipe=TWO_BRANCH)
    branch, estimator = parts.models["mi_branch"], parts.models["mi_estimator"]
    assert isinstance(branch, DomainBranch)
    assert isinstance(estimator, CLUBLoss)
    assert branch.feature_dim == estimator.values_dim == 8
    assert branch.branch_dim == estimator.given_dim


def test_modules_in_models_have_parameters_and_those_in_misc_have_none():
    for recipe in (*RECIPES, TWO_BRANCH):
        parts = dmsrl_components(**SIZES, recipe=recipe)
        assert all(list(module.parameters()) for module in parts.models.values())
        assert not any(list(module.parameters()) for module in parts.misc.values())


def test_total_steps_are_passed_on():
    assert dmsrl_components(**SIZES, total_steps=7).misc["training_progress"].total_steps == 7
    assert not dmsrl_components(**SIZES).misc["training_progress"].is_given


@pytest.mark.parametrize("name", SIZES)
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        dmsrl_components(**{**SIZES, name: 0})


def test_unknown_recipe_is_refused():
    with pytest.raises(ValueError, match=r"recipe must be one of .* got 'best'"):
        dmsrl_components(**SIZES, recipe="best")


@pytest.mark.parametrize("recipe", [*RECIPES.values(), TWO_BRANCH])
def test_every_module_carries_the_recipe_through_copies_pickles_and_wrappers(recipe):
    parts = dmsrl_components(**SIZES, recipe=recipe)
    assert parts.recipe == recipe
    for module in (*parts.models.values(), *parts.misc.values()):
        for made in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module)), nn.Sequential(module)):
            assert carried_recipe([nn.Linear(1, 1), made, "no module"]) == recipe
    assert carried_recipe([nn.Linear(1, 1)]) is None


def test_a_recipe_that_is_said_twice_must_be_the_same():
    modules = dmsrl_components(**SIZES, recipe="published").models.values()
    assert one_recipe(None, modules) == one_recipe("published", modules) == one_recipe(PUBLISHED, []) == PUBLISHED
    with pytest.raises(ValueError, match="got 'default', and the modules are made for 'published'"):
        one_recipe("default", modules)
    other = dmsrl_components(**SIZES, recipe=DEFAULT.replace("margin", scale=64.0)).models.values()
    with pytest.raises(ValueError, match=r"of one recipe, got 'published' and 'default' with margin.scale = 64\.0"):
        one_recipe(None, [*modules, *other])
