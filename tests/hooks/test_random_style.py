import copy

import pytest
import torch
from torch import nn

from dmsrl_adapt import DMSRLHook, RandomStyleHook, dmsrl_components
from dmsrl_adapt.layers import RandomConvolution
from dmsrl_adapt.recipes import DEFAULT

from ..stand_ins import (
    CLASSES,
    DIM,
    NUM_TARGET,
    Counted,
    assert_same_states,
    make_batch,
    make_models,
    make_opts,
    states,
)
from .plain_steps import CLOSE, HOSTS, hook_step, make_discriminator, plain_step


def make(host="classifier"):
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, DIM))
    models = {"G": Counted(trunk), "C": Counted(nn.Linear(DIM, CLASSES))}
    return {**models, "D": make_discriminator()} if host == "dann" else models


def make_images(seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = {f"{domain}_imgs": torch.randn(8, 2, 8, 8, generator=generator) for domain in ("src", "target")}
    return {**make_batch(seed), **images}


@pytest.mark.parametrize("host", HOSTS)
def test_one_step_equals_plain_pytorch_on_restyled_source_images(host):
    models, batch = make(host), make_images()
    twins = copy.deepcopy(models)
    torch.manual_seed(5)
    hook_step(host, models, batch, [], pre=[RandomStyleHook(0.5)])
    torch.manual_seed(5)
    restyled = {**batch, "src_imgs": RandomConvolution(0.5)(batch["src_imgs"])}
    assert not torch.equal(restyled["src_imgs"], batch["src_imgs"])
    plain_step(host, twins, make_opts(twins), restyled)
    if host == "classifier":
        # the plain step looks at the target too, which moves the batch statistics of G and nothing else
        statistics = {"G.net.1.running_mean", "G.net.1.running_var", "G.net.1.num_batches_tracked"}
        ours, theirs = ({k: v for k, v in states(m).items() if k not in statistics} for m in (models, twins))
        assert_same_states(ours, theirs, **CLOSE)
    else:
        assert_same_states(states(models), states(twins), **CLOSE)
    assert models["G"].count == (2 if host == "dann" else 1)
    assert models["C"].count == 1


def test_whole_method_sees_the_restyled_source_once():
    models, batch = make(), make_images()
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET)
    models = {**models, **parts.models}
    twins, misc = copy.deepcopy(models), copy.deepcopy(parts.misc)
    torch.manual_seed(5)
    DMSRLHook(make_opts(models))({**models, **parts.misc, **batch})
    torch.manual_seed(5)
    restyled = {**batch, "src_imgs": RandomConvolution(DEFAULT.style_probability)(batch["src_imgs"])}
    DMSRLHook(make_opts(twins), recipe=DEFAULT.without("style"))({**twins, **misc, **restyled})
    assert_same_states(states({**models, **parts.misc}), states({**twins, **misc}))
    assert models["G"].count == models["C"].count == 2


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_domains_can_be_chosen(probability):
    context = {**make(), **make_images()}
    context["G"].eval()
    hook = RandomStyleHook(probability, domains=["target"])
    outputs, losses = hook(context)
    assert outputs.keys() == set(hook.out_keys) == {"target_imgs_features"}
    assert losses == {}
    same = torch.equal(outputs["target_imgs_features"], context["G"](context["target_imgs"]))
    assert same == (probability == 0)


def test_features_that_are_there_are_left_as_they_are():
    context = {**make(), **make_images(), "src_imgs_features": torch.zeros(8, DIM)}
    assert RandomStyleHook()(context) == ({}, {})
    assert context["G"].count == 0


def test_feature_vectors_have_no_style():
    context = {**make_models(), **make_batch()}
    context["G"].eval()
    outputs, _ = RandomStyleHook(1.0)(context)
    assert torch.equal(outputs["src_imgs_features"], context["G"](context["src_imgs"]))


@pytest.mark.parametrize("key", ["G", "src_imgs"])
def test_missing_key_names_hook_and_key(key):
    context = {**make(), **make_images()}
    del context[key]
    with pytest.raises(KeyError, match=f"RandomStyleHook needs '{key}' in the context, got"):
        RandomStyleHook()(context)


def test_bad_settings():
    with pytest.raises(ValueError, match=r"probability must be in 0..1, got 2"):
        RandomStyleHook(2.0)
