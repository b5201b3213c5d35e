import pytest
import torch
from torch import nn

from dmsrl_adapt.hooks import MarginMetricHook
from dmsrl_adapt.hooks.level_parts import check_level_weights, read_parts

HOOK, DOMAINS = MarginMetricHook(), ("src", "target")


def test_without_levels_the_loss_is_of_the_fused_feature():
    layer, features = nn.Identity(), {f"{one}_imgs_features": torch.full((2, 3), float(len(one))) for one in DOMAINS}
    (part,) = read_parts(HOOK, {"mi_critic": layer, **features}, "mi_critic", DOMAINS, None)
    assert (part.weight, part.layer) == (1.0, layer)
    assert part.features(features)[:, 0].tolist() == [3.0, 3.0, 6.0, 6.0]


def test_every_level_has_its_own_layer_features_and_weight():
    names = {"global": 0.5, "nose": 2.0}
    layers = {f"mi_critic_level_{name}": nn.Identity() for name in names}
    levels = {f"{one}_imgs_level_{name}": torch.rand(2, 3) for one in DOMAINS for name in names}
    parts = read_parts(HOOK, {**layers, **levels}, "mi_critic", DOMAINS, names)
    assert [(part.weight, part.layer) for part in parts] == list(zip(names.values(), layers.values(), strict=True))
    nose = torch.cat([levels[f"{one}_imgs_level_nose"] for one in DOMAINS])
    assert torch.equal(parts[1].features(levels), nose)


def test_a_level_that_is_missing_is_told_before_any_loss():
    context = {"mi_critic_level_nose": nn.Identity(), "src_imgs_level_nose": torch.zeros(2, 3)}
    with pytest.raises(KeyError, match="MarginMetricHook needs 'target_imgs_level_nose' in the context"):
        read_parts(HOOK, context, "mi_critic", DOMAINS, {"nose": 1.0})
    with pytest.raises(KeyError, match="MarginMetricHook needs 'mi_critic_level_global' in the context"):
        read_parts(HOOK, context, "mi_critic", DOMAINS, {"global": 1.0})


def test_weights_of_levels_are_copied():
    levels = {"global": 1.0}
    checked = check_level_weights(levels)
    levels["global"] = 2.0
    assert checked == {"global": 1.0}
    assert check_level_weights(None) is None
    assert check_level_weights({"global": 0.5, "nose": 0.0}) == {"global": 0.5, "nose": 0.0}


@pytest.mark.parametrize("levels", [{}, {"global": 1.0, "nose": -0.1}])
def test_levels_have_weights_of_at_least_zero(levels):
    with pytest.raises(ValueError, match="levels must be weights of at least 0 by name, at least one"):
        check_level_weights(levels)
