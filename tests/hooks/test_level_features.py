import copy

import pytest
import torch
from torch import nn

from dmsrl_adapt import LevelFeaturesHook, MultiLevelBackbone
from dmsrl_adapt.layers.local_windows import CORNERS

from ..stand_ins import CLASSES, Counted, assert_same_states, make_batch, make_models, make_opts, states
from .plain_steps import CLOSE, HOSTS, hook_step, plain_step

LEVELS = ("global", *CORNERS)


def make(host="classifier"):
    torch.manual_seed(0)
    trunk = Counted(nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU()))
    G = MultiLevelBackbone(trunk, in_chans=1, input_size=8)
    trunk.count = 0
    models = {"G": G, "C": Counted(nn.Linear(G.feature_dim, CLASSES))}
    return {**models, "D": nn.Sequential(nn.Linear(G.feature_dim, 1), nn.Flatten(0))} if host == "dann" else models


def make_images(seed=0):
    batch = make_batch(seed)
    torch.manual_seed(seed)
    return {**batch, **{f"{domain}_imgs": torch.randn(8, 1, 8, 8) for domain in ("src", "target")}}


@pytest.mark.parametrize("host", HOSTS)
def test_one_step_equals_plain_pytorch(host):
    models, batch = make(host), make_images()
    twins = copy.deepcopy(models)
    outputs, _ = hook_step(host, models, batch, [], pre=[LevelFeaturesHook()])
    plain_step(host, twins, make_opts(twins), batch)
    assert_same_states(states(models), states(twins), **CLOSE)
    assert models["G"].trunk.count == twins["G"].trunk.count == 2
    assert models["C"].count == twins["C"].count == 1
    assert {f"src_imgs_level_{name}" for name in LEVELS} < outputs.keys()


def test_levels_and_features_are_those_of_the_backbone():
    models, batch = make(), make_images()
    G = models["G"].eval()
    outputs, losses = LevelFeaturesHook()({**models, **batch})
    assert losses == {}
    assert G.trunk.count == 2
    for domain in ("src", "target"):
        fused, levels = G(batch[f"{domain}_imgs"], return_levels=True)
        assert torch.equal(outputs[f"{domain}_imgs_features"], fused)
        for name in LEVELS:
            assert torch.equal(outputs[f"{domain}_imgs_level_{name}"], levels[name])
    assert outputs.keys() == set(LevelFeaturesHook().out_keys)


def test_levels_and_domains_can_be_chosen():
    hook = LevelFeaturesHook(levels=["global"], domains=["src"])
    context = {**make(), **make_images()}
    outputs, _ = hook(context)
    assert outputs.keys() == set(hook.out_keys) == {"src_imgs_features", "src_imgs_level_global"}
    assert context["G"].trunk.count == 1


@pytest.mark.parametrize("key", ["G", "src_imgs", "target_imgs"])
def test_missing_key_names_hook_and_key(key):
    context = {**make(), **make_images()}
    del context[key]
    with pytest.raises(KeyError, match=f"LevelFeaturesHook needs '{key}' in the context, got"):
        LevelFeaturesHook()(context)


def test_level_that_the_backbone_lacks_is_named():
    with pytest.raises(KeyError, match=r"LevelFeaturesHook needs 'center' .*'bottom_left'.*'global'"):
        LevelFeaturesHook(levels=["center"])({**make(), **make_images()})


def test_another_backbone_is_refused():
    with pytest.raises(TypeError, match="G must be a MultiLevelBackbone to give levels, got Counted"):
        LevelFeaturesHook()({**make_models(), **make_batch()})


def test_type_error_inside_the_backbone_is_left_as_it_is():
    class Broken(nn.Module):
        def forward(self, x, return_levels=False):
            raise TypeError("something else")

    with pytest.raises(TypeError, match="something else"):
        LevelFeaturesHook()({"G": Broken(), **make_images()})
