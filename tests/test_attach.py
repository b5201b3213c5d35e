import copy
import pickle

import pytest
import torch
from pytorch_adapt.containers import Misc, Models
from pytorch_adapt.hooks import ClassifierHook, FeaturesHook, GANHook
from torch import nn

from dmsrl_adapt import DMSRL, PseudoLabelHook, Recipe, attach_dmsrl, dmsrl_components
from dmsrl_adapt.components import Components
from dmsrl_adapt.parts import SourceClassification
from dmsrl_adapt.recipe import DEFAULT, get_recipe

from .hooks.host_table import HOSTS, host_batch, make_adapter
from .stand_ins import CLASSES, DIM, NUM_TARGET, make_batch, make_models, make_opts


def parts(recipe="default"):
    return dmsrl_components(DIM, CLASSES, NUM_TARGET, recipe)


def test_hook_runs_with_the_modules_in_its_context_and_counts_the_step():
    ours = parts()
    models = {**make_models(), **ours.models}
    hook = attach_dmsrl(ClassifierHook(make_opts(models)))
    _, losses = hook({**models, **ours.misc, **make_batch()})
    assert {"src_c_loss", "margin_metric_loss", "mi_loss", "mcc_loss"} <= set(losses["total_loss"])
    assert ours.misc["training_progress"].step == 1


def test_module_that_no_optimizer_of_the_step_has_is_an_error():
    """In a GAN-like host the discriminator's optimizers do not count."""
    ours, models = parts(), make_models()
    hook = attach_dmsrl(GANHook(d_opts=make_opts(ours.models), g_opts=make_opts(models)))
    with pytest.raises(ValueError, match="opts must hold parameters of 'margin_metric', got none"):
        hook({**models, **ours.models, **ours.misc, **make_batch()})


def test_bad_batch_is_refused_before_the_host_sees_it():
    ours, models = parts(), make_models()
    both = {**models, **ours.models}
    hook = attach_dmsrl(ClassifierHook(make_opts(both)))
    with pytest.raises(ValueError, match="src_labels"):
        hook({**both, **ours.misc, **make_batch(), "src_labels": torch.tensor([CLASSES] * 8)})
    assert (models["G"].count, ours.misc["training_progress"].step) == (0, 0)


def test_recipe_leaves_out_what_the_host_has_already():
    hook = attach_dmsrl(ClassifierHook(["G_opt"], post=[PseudoLabelHook()]), recipe=DEFAULT)
    assert hook.recipe == DEFAULT.without("pseudo_labels", "classification")
    with pytest.raises(
        ValueError, match="ClassifierHook refuses: pseudo_labels: it has 'target_pseudo_labels' already"
    ):
        attach_dmsrl(ClassifierHook(["G_opt"], post=[PseudoLabelHook()]), recipe="published")
    unchanged = DEFAULT.replace("margin", scale=16.0)
    hook = attach_dmsrl(ClassifierHook(["G_opt"], post=[PseudoLabelHook()]), recipe=unchanged)
    assert hook.recipe == unchanged.without("pseudo_labels", "classification")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: attach_dmsrl(FeaturesHook()), TypeError, "optimizer step of its own, got FeaturesHook"),
        (lambda: attach_dmsrl(nn.Linear(1, 1)), TypeError, "hook or an adapter of pytorch-adapt, got Linear"),
        (lambda: attach_dmsrl(ClassifierHook(["G_opt"]), parts()), TypeError, "parts must not be given for a hook"),
        (lambda: attach_dmsrl(make_adapter(HOSTS["DANN"])), TypeError, "parts must be the result of dmsrl_components"),
        (lambda: attach_dmsrl(ClassifierHook(["G_opt"]), opts=make_opts(make_models())), TypeError, "must be names"),
        (
            lambda: attach_dmsrl(ClassifierHook(make_opts(make_models())), opts=["G_opt"]),
            TypeError,
            "opts must be optimizers, as the host's are, got names",
        ),
        (
            lambda: attach_dmsrl(ClassifierHook(["G_opt"]), recipe="default", weights={"x": 1.0}),
            ValueError,
            "weights must be of .*'x'",
        ),
        (
            lambda: attach_dmsrl(make_adapter(HOSTS["DANN"]), parts("published"), recipe="default"),
            ValueError,
            "got 'default', and the modules are made for 'published'",
        ),
        (
            lambda: attach_dmsrl(make_adapter(HOSTS["DANN"]), Components({}, {}), recipe="default"),
            KeyError,
            "parts must have 'margin_metric' for this recipe",
        ),
    ],
)
def test_errors_say_what_was_wanted(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_adapter_with_a_module_of_that_name_is_an_error():
    adapter = make_adapter(HOSTS["Classifier"])
    adapter.models["mi_critic"] = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r"must not have modules .*, got \['mi_critic'\]"):
        attach_dmsrl(adapter, parts())


def make_context(hook_of, recipe):
    ours = parts(recipe)
    models = {**make_models(), **ours.models}
    return hook_of(make_opts(models)), {**models, **ours.misc, **make_batch()}


@pytest.mark.parametrize("recipe", ["published", DEFAULT.without("mi"), DEFAULT.replace("margin", scale=64.0)])
def test_a_hook_takes_the_recipe_from_the_modules_of_the_first_call(recipe):
    torch.manual_seed(0)
    hook, context = make_context(lambda opts: attach_dmsrl(ClassifierHook(opts)), recipe)
    _, losses = hook(context)
    assert hook.recipe == get_recipe(recipe).without("classification")
    assert {"src_c_loss", *hook.recipe.loss_weights, "total"} == set(losses["total_loss"])
    _, other = make_context(lambda opts: None, "default")
    with pytest.raises(ValueError, match="the modules are made for 'default'"):
        hook(other)


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(SourceClassification())])
def test_a_recipe_without_a_part_for_the_host_is_refused(recipe):
    for attach in (
        lambda: attach_dmsrl(make_adapter(HOSTS["DANN"]), parts(recipe)),
        lambda: attach_dmsrl(ClassifierHook(["G_opt"]), recipe=recipe),
    ):
        with pytest.raises(ValueError, match=r"recipe must not have parts that .* no other part"):
            attach()
    with pytest.raises(ValueError, match="must have a part with a loss" if not recipe else "nothing"):
        adapter = DMSRL.of(*make_models().values(), parts(recipe))
        raise ValueError(f"nothing, and it trains: {adapter.training_step(make_batch())}")


def test_inference_of_an_adapter_passes_on_what_g_takes_beside_images():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(6, DIM)

        def forward(self, x, mask=1.0):
            return self.net(x * mask)

    adapter = make_adapter(HOSTS["DANN"])
    adapter.models["G"] = Masked()
    attach_dmsrl(adapter, parts())
    twin, x, mask = copy.deepcopy(adapter), torch.randn(4, 6), torch.rand(4, 6)
    assert torch.equal(adapter.inference(x, mask=mask)["features"], adapter.models["G"](x, mask))
    twin.models["G"].net.weight.data.zero_()
    assert not torch.equal(twin.inference(x)["features"], adapter.inference(x, domain=1)["features"])


@pytest.mark.parametrize("key", ["margin_metric", "mi_critic", "pseudo_labeler", "training_progress"])
def test_a_module_of_another_recipe_is_refused_whichever_it_is(key):
    hook, context = make_context(lambda opts: attach_dmsrl(ClassifierHook(opts), recipe="default"), "default")
    other = parts(DEFAULT.replace("margin", scale=64.0))
    with pytest.raises(ValueError, match="all modules must be of one recipe, got"):
        hook({**context, key: {**other.models, **other.misc}[key]})
    assert context["G"].count == 0


@pytest.mark.parametrize("make", [copy.deepcopy, lambda adapter: pickle.loads(pickle.dumps(adapter))])
def test_a_copy_tells_its_own_warm_ups_the_length(make):
    class Wrapper:
        def get_training_length(self):
            return 2, 70

    adapter = attach_dmsrl(make_adapter(HOSTS["DANN"]), parts())
    adapter.training_step(host_batch())
    twin = make(adapter)
    twin.before_training_starts(Wrapper())
    assert twin.misc["training_progress"].total_steps == 70
    assert adapter.misc["training_progress"].total_steps == 1000
    twin.training_step(host_batch())
    assert (adapter.misc["training_progress"].step, twin.misc["training_progress"].step) == (1, 2)


def test_framework_wrapper_tells_the_warm_ups_its_length():
    class Wrapper:
        def get_training_length(self):
            return 2, 70

    adapter = attach_dmsrl(make_adapter(HOSTS["MCD"]), parts())
    adapter.before_training_starts(Wrapper())
    assert adapter.misc["training_progress"].total_steps == 70
    assert isinstance(adapter.misc, Misc)
    assert isinstance(adapter.models, Models)
    assert "x_loss" in adapter.training_step(host_batch())
