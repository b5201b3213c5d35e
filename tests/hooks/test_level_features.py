import copy

import pytest
import torch
from torch import nn

from dmsrl_adapt import (
    AugmentHook,
    DMSRLHook,
    LevelFeaturesHook,
    MarginMetricHook,
    MIMinimizationHook,
    MultiLevelBackbone,
    dmsrl_components,
)
from dmsrl_adapt.augment.random_affine import moved_points
from dmsrl_adapt.backbones.local_windows import CORNERS, LANDMARKS
from dmsrl_adapt.losses import AdversarialMILoss, CosineMarginLoss

from ..stand_ins import CLASSES, NUM_TARGET, Counted, assert_same_states, make_batch, make_models, make_opts, states
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


LEVEL_WEIGHTS = {"global": 0.5, "top_left": 1.0, "bottom_right": 0.2}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("is_augmented", [False, True])
def test_one_pass_per_domain_and_step_for_any_number_of_losses_on_levels(host, is_augmented):
    models, batch = make(host), make_images()
    for name in LEVEL_WEIGHTS:
        size = models["G"].level_dims[name]
        models[f"margin_metric_level_{name}"] = CosineMarginLoss(CLASSES, size)
        models[f"mi_critic_level_{name}"] = AdversarialMILoss(size, CLASSES, hidden=4)
    models["margin_metric"] = CosineMarginLoss(CLASSES, models["G"].feature_dim)
    hooks = [MarginMetricHook(levels=LEVEL_WEIGHTS), MIMinimizationHook(levels=LEVEL_WEIGHTS)]
    hooks.append(MarginMetricHook(loss_suffix="_of_features"))
    augmentation = [AugmentHook(probability=1.0)] if is_augmented else []
    _, losses = hook_step(host, models, batch, hooks, pre=[*augmentation, LevelFeaturesHook()])
    assert models["G"].trunk.count == 2
    assert models["C"].count == 2
    assert {"margin_metric_loss", "margin_metric_loss_of_features", "mi_loss"} < losses["total_loss"].keys()


@pytest.mark.parametrize("host", HOSTS)
def test_with_augmentation_one_step_equals_plain_pytorch_on_augmented_images(host):
    models, batch = make(host), make_images()
    twins = copy.deepcopy(models)
    torch.manual_seed(5)
    outputs, _ = hook_step(host, models, batch, [], pre=[AugmentHook(), LevelFeaturesHook()])
    torch.manual_seed(5)
    augmented = {**batch, "src_imgs": AugmentHook()(batch)[0]["src_imgs_input"]}
    assert not torch.equal(augmented["src_imgs"], batch["src_imgs"])
    frozen = copy.deepcopy(twins["G"])
    plain_step(host, twins, make_opts(twins), augmented)
    assert_same_states(states(models), states(twins), **CLOSE)
    assert models["G"].trunk.count == 2
    for name, level in frozen(augmented["src_imgs"], return_levels=True)[1].items():
        torch.testing.assert_close(outputs[f"src_imgs_level_{name}"], level)


def test_whole_method_computes_levels_of_augmented_images_and_learns_as_without_levels():
    models, batch = make(), make_images()
    parts = dmsrl_components(models["G"].feature_dim, CLASSES, NUM_TARGET)
    # as if the source were learned, so that the accuracy gate is open
    parts.misc["source_accuracy"].update(torch.eye(CLASSES), torch.arange(CLASSES))
    models = {**models, **parts.models}
    twins, misc = copy.deepcopy(models), copy.deepcopy(parts.misc)
    frozen = copy.deepcopy(models["G"])
    torch.manual_seed(5)
    outputs, _ = DMSRLHook(make_opts(models), pre=[LevelFeaturesHook()])({**models, **parts.misc, **batch})
    torch.manual_seed(5)
    DMSRLHook(make_opts(twins))({**twins, **misc, **batch})
    assert_same_states(states({**models, **parts.misc}), states({**twins, **misc}))
    # the third pass is that of the original target images, without gradient
    assert models["G"].trunk.count == twins["G"].trunk.count == 3
    for domain in ("src", "target"):
        assert not torch.equal(outputs[f"{domain}_imgs_input"], batch[f"{domain}_imgs"])
        for name, level in frozen(outputs[f"{domain}_imgs_input"], return_levels=True)[1].items():
            torch.testing.assert_close(outputs[f"{domain}_imgs_level_{name}"], level)


def make_landmarks(size=8):
    generator = torch.Generator().manual_seed(3)
    return {f"{domain}_imgs_landmarks": torch.rand(size, 5, 2, generator=generator) for domain in ("src", "target")}


def make_faces():
    trunk = Counted(nn.Conv2d(1, 4, 3, padding=1))
    G = MultiLevelBackbone(trunk, in_chans=1, input_size=8, local="landmarks")
    trunk.count = 0
    return {"G": G}


def test_landmarks_of_the_batch_reach_the_backbone():
    context, landmarks = {**make_faces(), **make_images()}, make_landmarks()
    del landmarks["target_imgs_landmarks"]
    hook = LevelFeaturesHook(levels=["global", *LANDMARKS])
    outputs, _ = hook({**context, **landmarks})
    for domain in ("src", "target"):
        given = landmarks.get(f"{domain}_imgs_landmarks")
        fused, levels = context["G"](context[f"{domain}_imgs"], return_levels=True, landmarks=given)
        assert torch.equal(outputs[f"{domain}_imgs_features"], fused)
        assert torch.equal(outputs[f"{domain}_imgs_level_nose"], levels["nose"])
    assert not torch.equal(outputs["src_imgs_features"], context["G"](context["src_imgs"]))


def test_landmarks_are_moved_with_the_augmented_images():
    context, landmarks = {**make_faces(), **make_images()}, make_landmarks()
    augmented, _ = AugmentHook(probability=1.0)({**context, **landmarks})
    outputs, _ = LevelFeaturesHook(levels=["nose"])({**context, **landmarks, **augmented})
    moved = moved_points(landmarks["src_imgs_landmarks"], augmented["src_imgs_affine"])
    assert (moved - landmarks["src_imgs_landmarks"]).abs().max() > 0.05
    _, levels = context["G"](augmented["src_imgs_input"], return_levels=True, landmarks=moved)
    torch.testing.assert_close(outputs["src_imgs_level_nose"], levels["nose"])


@pytest.mark.parametrize(
    ("landmarks", "error", "message"),
    [
        (torch.rand(8, 4, 2), ValueError, r"target_imgs_landmarks must have shape \(8, 5, 2\), got \(8, 4, 2\)"),
        (torch.rand(7, 5, 2), ValueError, r"target_imgs_landmarks must have shape \(8, 5, 2\), got \(7, 5, 2\)"),
        (100 * torch.ones(8, 5, 2), ValueError, r"must be fractions of the image, 0..1, got values from 100 to 100"),
        (torch.ones(8, 5, 2).long(), TypeError, "target_imgs_landmarks must be a floating point tensor, got torch.int"),
    ],
)
def test_bad_landmarks_are_refused_before_the_backbone_sees_an_image(landmarks, error, message):
    context = {**make_faces(), **make_images(), **make_landmarks(), "target_imgs_landmarks": landmarks}
    with pytest.raises(error, match=message):
        LevelFeaturesHook(levels=LANDMARKS)(context)
    assert context["G"].trunk.count == 0


def test_an_image_without_a_face_is_no_error():
    context, landmarks = {**make_faces(), **make_images()}, make_landmarks()
    landmarks["src_imgs_landmarks"][2] = torch.nan
    outputs, _ = LevelFeaturesHook(levels=LANDMARKS)({**context, **landmarks})
    torch.testing.assert_close(outputs["src_imgs_features"][2], context["G"](context["src_imgs"])[2])


def test_levels_and_features_are_those_of_the_backbone():
    models, batch = make(), make_images()
    G = models["G"].eval()
    hook = LevelFeaturesHook()
    assert set(hook.out_keys) == {"src_imgs_features", "target_imgs_features"}  # which levels there are, G tells
    outputs, losses = hook({**models, **batch})
    assert losses == {}
    assert G.trunk.count == 2
    for domain in ("src", "target"):
        fused, levels = G(batch[f"{domain}_imgs"], return_levels=True)
        assert torch.equal(outputs[f"{domain}_imgs_features"], fused)
        for name in LEVELS:
            assert torch.equal(outputs[f"{domain}_imgs_level_{name}"], levels[name])
    assert outputs.keys() == set(hook.out_keys)


@pytest.mark.parametrize(
    ("settings", "levels"),
    [
        ({"local": None}, {"global"}),
        ({"local": (1, 2)}, {"global", "window_0_0", "window_0_1"}),
        ({"local": "landmarks"}, {"global", *LANDMARKS}),
        ({"local": "corners", "levels": ("0", "2")}, {"global", *CORNERS, "0"}),
    ],
)
@pytest.mark.parametrize("host", HOSTS)
def test_all_levels_that_the_backbone_gives_are_written(host, settings, levels):
    trunk = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=1))
    G = MultiLevelBackbone(trunk, in_chans=1, input_size=8, **settings)
    models = {"G": G, "C": nn.Linear(G.feature_dim, CLASSES)}
    models |= {"D": nn.Sequential(nn.Linear(G.feature_dim, 1), nn.Flatten(0))} if host == "dann" else {}
    hook = LevelFeaturesHook()
    outputs, _ = hook_step(host, models, make_images(), [], pre=[hook])
    for domain in ("src", "target"):
        assert {key for key in outputs if key.startswith(f"{domain}_imgs_level_")} == {
            f"{domain}_imgs_level_{name}" for name in levels
        }
    assert {key for key in hook.out_keys if "_level_" in key} == {key for key in outputs if "_level_" in key}


def test_one_hook_for_backbones_with_other_levels():
    hook, batch = LevelFeaturesHook(out_suffix="_x"), make_images()
    for local, count in (("corners", 5), (None, 1), ((2, 1), 3)):
        G = MultiLevelBackbone(nn.Conv2d(1, 4, 3), in_chans=1, input_size=8, local=local)
        outputs, _ = hook({"G": G, **batch})
        assert outputs.keys() == set(hook.out_keys)
        assert len(outputs) == 2 * (1 + count)


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
    with pytest.raises(TypeError, match="G must be a MultiLevelBackbone to return levels, got Counted"):
        LevelFeaturesHook()({**make_models(), **make_batch()})


def test_type_error_inside_the_backbone_is_left_as_it_is():
    class Broken(nn.Module):
        def forward(self, x, return_levels=False):
            raise TypeError("something else")

    with pytest.raises(TypeError, match="something else"):
        LevelFeaturesHook()({"G": Broken(), **make_images()})
