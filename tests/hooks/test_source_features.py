import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from dmsrl_adapt import DMSRLHook, MIMinimizationHook, SourceFeaturesHook, dmsrl_components
from dmsrl_adapt.layers import AdversarialMILoss, RandomConvolution
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


def statistics(G):
    """What the batch normalisation of G keeps."""
    return {name: buffer.clone() for name, buffer in G.named_buffers() if "running" in name or "num_batches" in name}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("moves_statistics", [False, True])
def test_one_step_equals_plain_pytorch_on_restyled_source_images(host, moves_statistics):
    models, batch = make(host), make_images()
    twins = copy.deepcopy(models)
    torch.manual_seed(5)
    hook_step(host, models, batch, [], pre=[SourceFeaturesHook(0.5, moves_statistics=moves_statistics)])
    torch.manual_seed(5)
    restyled = {**batch, "src_imgs": RandomConvolution(0.5)(batch["src_imgs"])}
    assert not torch.equal(restyled["src_imgs"], batch["src_imgs"])
    plain_step(host, twins, make_opts(twins), restyled, source_moves_statistics=moves_statistics)
    if host == "classifier":
        # the plain step looks at the target too, which moves the batch statistics of G and nothing else
        moved = {f"G.{name}" for name in statistics(models["G"])}
        ours, theirs = ({k: v for k, v in states(m).items() if k not in moved} for m in (models, twins))
        assert_same_states(ours, theirs, **CLOSE)
    else:
        assert_same_states(states(models), states(twins), **CLOSE)
    assert models["G"].count == (2 if host == "dann" else 1)
    assert models["C"].count == 1


def whole_step(models, misc, batch, moves_statistics=False):
    recipe = replace(DEFAULT, style_probability=0.5, moves_statistics=moves_statistics)
    DMSRLHook(make_opts(models, lr=0.0), recipe=recipe)({**models, **misc, **batch})


@pytest.mark.parametrize("seen", ["by dann", "by a hook after the classifier", "by the whole method"])
def test_running_statistics_are_those_of_a_network_that_saw_the_target_alone(seen):
    models, parts = make("dann"), dmsrl_components(DIM, CLASSES, NUM_TARGET)
    twin = copy.deepcopy(models["G"])
    for number in range(3):
        batch = make_images(number)
        if seen == "by dann":
            hook_step("dann", models, batch, [], pre=[SourceFeaturesHook(moves_statistics=False)], lr=0.0)
        elif seen == "by the whole method":
            whole_step({**models, **parts.models}, parts.misc, batch)
        else:
            models["mi_critic"] = AdversarialMILoss(DIM)
            hooks = [MIMinimizationHook(conditional=False)]
            hook_step("classifier", models, batch, hooks, pre=[SourceFeaturesHook(moves_statistics=False)], lr=0.0)
        twin(batch["target_imgs"])
        assert_same_states(statistics(models["G"]), statistics(twin))
    assert statistics(twin)["net.1.num_batches_tracked"] == 3


def test_where_the_source_moves_them_statistics_follow_both_domains():
    models, parts, batch = make(), dmsrl_components(DIM, CLASSES, NUM_TARGET), make_images()
    twin = copy.deepcopy(models["G"])
    torch.manual_seed(5)
    whole_step({**models, **parts.models}, parts.misc, batch, moves_statistics=True)
    torch.manual_seed(5)
    twin(RandomConvolution(0.5)(batch["src_imgs"]))
    twin(batch["target_imgs"])
    assert_same_states(statistics(models["G"]), statistics(twin))


def test_a_network_that_never_sees_the_target_keeps_the_statistics_it_was_made_with():
    models = make()
    before = statistics(models["G"])
    hook_step("classifier", models, make_images(), [], pre=[SourceFeaturesHook(moves_statistics=False)])
    assert_same_states(statistics(models["G"]), before)


def test_whole_method_sees_the_restyled_source_once():
    models, batch = make(), make_images()
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET)
    models, recipe = {**models, **parts.models}, replace(DEFAULT, style_probability=0.5)
    twins, misc = copy.deepcopy(models), copy.deepcopy(parts.misc)
    torch.manual_seed(5)
    DMSRLHook(make_opts(models), recipe=recipe)({**models, **parts.misc, **batch})
    torch.manual_seed(5)
    restyled = {**batch, "src_imgs": RandomConvolution(0.5)(batch["src_imgs"])}
    DMSRLHook(make_opts(twins), recipe=recipe.without("style"))({**twins, **misc, **restyled})
    assert_same_states(states({**models, **parts.misc}), states({**twins, **misc}))
    assert models["G"].count == models["C"].count == 2


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_in_evaluation_mode_running_statistics_are_used_and_stay(probability):
    context = {**make(), **make_images()}
    context["G"](make_images(1)["target_imgs"])
    context["G"].eval()
    before, hook = statistics(context["G"]), SourceFeaturesHook(probability)
    outputs, losses = hook(context)
    assert outputs.keys() == set(hook.out_keys) == {"src_imgs_features"}
    assert losses == {}
    assert hook.loss_keys == []
    same = torch.equal(outputs["src_imgs_features"], context["G"](context["src_imgs"]))
    assert same == (probability == 0)
    assert_same_states(statistics(context["G"]), before)


def test_a_failing_network_has_its_statistics_move_again_afterwards():
    class Fails(nn.Module):
        def forward(self, x):
            raise RuntimeError("of G")

    norm = nn.BatchNorm2d(2)
    usual = copy.deepcopy(norm)
    with pytest.raises(RuntimeError, match="of G"):
        SourceFeaturesHook(moves_statistics=False)({"G": nn.Sequential(norm, Fails()), **make_images()})
    for one in (norm, usual):
        one(make_images()["target_imgs"])
    assert_same_states(states({"norm": norm}), states({"norm": usual}))


def test_synchronised_and_wrapped_networks_keep_their_statistics_too():
    class Wrapper(nn.Module):
        """Holds a network as those of distributed training do."""

        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, x):
            return self.module(x)

    G = Wrapper(nn.SyncBatchNorm.convert_sync_batchnorm(make()["G"]))
    assert any(isinstance(part, nn.SyncBatchNorm) for part in G.modules())
    before, expected = statistics(G), make()["G"](make_images()["src_imgs"])
    outputs, _ = SourceFeaturesHook(0.0, moves_statistics=False)({"G": G, **make_images()})
    torch.testing.assert_close(outputs["src_imgs_features"], expected)
    assert_same_states(statistics(G), before)


def test_features_that_are_there_are_left_as_they_are():
    context = {**make(), **make_images(), "src_imgs_features": torch.zeros(8, DIM)}
    assert SourceFeaturesHook()(context) == ({}, {})
    assert context["G"].count == 0


def test_feature_vectors_have_no_style():
    context = {**make_models(), **make_batch()}
    outputs, _ = SourceFeaturesHook(1.0)(context)
    assert torch.equal(outputs["src_imgs_features"], context["G"](context["src_imgs"]))


@pytest.mark.parametrize("key", ["G", "src_imgs"])
def test_missing_key_names_hook_and_key(key):
    context = {**make(), **make_images()}
    del context[key]
    with pytest.raises(KeyError, match=f"SourceFeaturesHook needs '{key}' in the context, got"):
        SourceFeaturesHook()(context)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"style_probability": 2.0}, r"probability must be in 0\.\.1, got 2"),
        ({"kernel_sizes": [2]}, r"kernel_sizes must be odd numbers of pixels, got \(2,\)"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        SourceFeaturesHook(**settings)
