import copy

import pytest
import torch
from torch import nn

from dmsrl_adapt import SourceFeaturesHook, SourceStyleHook
from dmsrl_adapt.layers import RandomConvolution

from ..stand_ins import CLASSES, Counted, assert_same_states, make_batch, make_models, make_opts, states
from .plain_steps import CLOSE, hook_step, plain_step


def make():
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    return {"G": Counted(trunk), "C": Counted(nn.Linear(36, CLASSES))}


def make_images(seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = {f"{domain}_imgs": torch.randn(8, 2, 8, 8, generator=generator) for domain in ("src", "target")}
    return {**make_batch(seed), **images}


def test_it_leaves_restyled_images_and_the_images_as_they_were():
    batch, hook = make_images(), SourceStyleHook(0.5, kernel_sizes=[3], moves_statistics=False)
    before = batch["src_imgs"].clone()
    torch.manual_seed(5)
    outputs, losses = hook(batch)
    torch.manual_seed(5)
    assert torch.equal(outputs["src_imgs_styled"], RandomConvolution(0.5, [3])(before))
    assert torch.equal(batch["src_imgs"], before)
    assert not torch.equal(outputs["src_imgs_styled"], before)
    assert outputs["src_moves_statistics"] is False
    assert outputs.keys() == set(hook.out_keys)
    assert losses == {}
    assert hook.loss_keys == []


def test_by_default_the_statistics_follow_the_source():
    assert SourceStyleHook()(make_images())[0]["src_moves_statistics"] is True


@pytest.mark.parametrize("moves_statistics", [False, True])
def test_source_features_are_those_of_the_style_that_is_there(moves_statistics):
    models, batch = make(), make_images()
    twins = copy.deepcopy(models)
    torch.manual_seed(5)
    # the second hook has another style, which it is not to use
    pre = [SourceStyleHook(0.5, moves_statistics=moves_statistics), SourceFeaturesHook(1.0, [1], not moves_statistics)]
    hook_step("classifier", models, batch, [], pre=pre)
    torch.manual_seed(5)
    restyled = {**batch, "src_imgs": RandomConvolution(0.5)(batch["src_imgs"])}
    twins["G"](restyled["src_imgs"])  # this pass alone moves the statistics
    moved = {key: value for key, value in states(twins).items() if "running" in key or "tracked" in key}
    twins["G"] = copy.deepcopy(make()["G"])
    plain_step("classifier", twins, make_opts(twins), restyled, source_moves_statistics=False)
    untracked = {key: value for key, value in states(twins).items() if key not in moved}
    assert_same_states({key: value for key, value in states(models).items() if key not in moved}, untracked, **CLOSE)
    expected = moved if moves_statistics else {key: states(make())[key] for key in moved}
    assert_same_states({key: states(models)[key] for key in moved}, expected)
    assert models["G"].count == 1


def test_feature_vectors_have_no_style():
    batch = make_batch()
    assert torch.equal(SourceStyleHook(1.0)({**make_models(), **batch})[0]["src_imgs_styled"], batch["src_imgs"])


def test_missing_key_names_hook_and_key():
    with pytest.raises(KeyError, match="SourceStyleHook needs 'src_imgs' in the context, got"):
        SourceStyleHook()({})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"style_probability": 2.0}, r"probability must be in 0\.\.1, got 2"),
        ({"kernel_sizes": [2]}, r"kernel_sizes must be odd numbers of pixels, got \(2,\)"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        SourceStyleHook(**settings)
