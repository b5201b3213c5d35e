import copy

import pytest
import torch
from torch import nn

from dmsrl_adapt import AugmentHook, BackboneHook
from dmsrl_adapt.hooks.backbone import arguments_of

from ..stand_ins import CLASSES, DIM, Counted, assert_same_states, make_batch, make_models, make_opts, states
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
def test_one_step_equals_plain_pytorch_on_restyled_images(host):
    models, batch = make(host), make_images()
    twins, domains = copy.deepcopy(models), ["src", "target"] if host == "dann" else ["src"]
    torch.manual_seed(5)
    hook_step(host, models, batch, [], pre=[*map(AugmentHook, domains), BackboneHook(domains)])
    torch.manual_seed(5)
    augmented = {f"{domain}_imgs": AugmentHook(domain)(batch)[0][f"{domain}_imgs_input"] for domain in domains}
    assert not any(torch.equal(images, batch[key]) for key, images in augmented.items())
    plain_step(host, twins, make_opts(twins), {**batch, **augmented})
    # the plain step of a classifier looks at the target too, which moves the batch statistics of G and nothing else
    left_out = {key for key in states(models) if host == "classifier" and ("running" in key or "num_batches" in key)}
    ours, theirs = ({k: v for k, v in states(m).items() if k not in left_out} for m in (models, twins))
    assert_same_states(ours, theirs, **CLOSE)
    assert models["G"].count == len(domains)
    assert models["C"].count == 1


def test_without_a_style_hook_features_are_those_of_the_images_as_they_are():
    context, hook = {**make_models(), **make_batch()}, BackboneHook()
    outputs, losses = hook(context)
    for domain in ("src", "target"):
        assert torch.equal(outputs[f"{domain}_imgs_features"], context["G"](context[f"{domain}_imgs"]))
    assert outputs.keys() == set(hook.out_keys)
    assert losses == {}
    assert hook.loss_keys == []


def test_features_that_are_there_are_left_as_they_are():
    context = {**make(), **make_images(), "src_imgs_features": torch.zeros(8, DIM)}
    outputs, _ = BackboneHook()(context)
    assert outputs.keys() == {"target_imgs_features"}
    assert context["G"].count == 1


class Network(nn.Module):
    def forward(self, images, mask, features=None, scale=1.0, *others, shift=0.0, **kwargs):
        return images


def test_other_inputs_of_a_network_are_its_named_arguments_but_the_first_and_those_that_hooks_write():
    assert arguments_of(Network()) == ("mask", "scale", "shift")
    assert arguments_of(nn.DataParallel(Network())) == ("mask", "scale", "shift")
    assert arguments_of(nn.Linear(2, 2)) == ()


@pytest.mark.parametrize("key", ["G", "src_imgs"])
def test_missing_key_names_hook_and_key(key):
    context = {**make(), **make_images()}
    del context[key]
    with pytest.raises(KeyError, match=f"BackboneHook needs '{key}' in the context, got"):
        BackboneHook()(context)
