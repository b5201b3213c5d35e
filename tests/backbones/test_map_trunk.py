import copy
import io

import pytest
import timm
import torch
from torch import nn

from dmsrl_adapt.backbones import NamedLayers
from dmsrl_adapt.backbones.map_trunk import Intermediates, make_trunk


def make_net():
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 5, 3, stride=2, padding=1), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 2),
    )


def test_named_layers_give_what_the_layers_gave():
    net, x = make_net(), torch.randn(2, 3, 8, 8)
    first, second = NamedLayers(net, ["0.0", "1"])(x)
    torch.testing.assert_close(first, net[0][0](x))
    torch.testing.assert_close(second, net[1](net[0](x)))


def test_named_layers_are_given_in_the_order_asked_for():
    shapes = [maps.shape[1] for maps in NamedLayers(make_net(), ["1", "0"])(torch.randn(2, 3, 8, 8))]
    assert shapes == [5, 4]


def test_nothing_of_one_pass_is_left_for_the_next():
    trunk, x = NamedLayers(make_net(), ["0", "1"]), torch.randn(2, 3, 8, 8)
    trunk(x)
    trunk.net = nn.Identity()
    with pytest.raises(ValueError, match=r"the pass through Identity does not reach its layers \['0', '1'\]"):
        trunk(x)


def test_a_copy_has_hooks_of_its_own():
    trunk, x = NamedLayers(make_net(), ["1"]), torch.randn(2, 3, 8, 8)
    twin = copy.deepcopy(trunk)
    with torch.no_grad():
        trunk.net[1][0].bias += 1
    assert not torch.equal(trunk(x)[0], twin(x)[0])
    torch.testing.assert_close(twin(x)[0], twin.net[1](twin.net[0](x)))


class LowRank(nn.Module):
    """A layer with a trained part of low rank beside it, as LoRA replaces layers."""

    def __init__(self, base):
        super().__init__()
        self.base = base

    def forward(self, x):
        return 3 * self.base(x)


def test_a_layer_that_was_replaced_gives_the_output_of_the_new_one():
    net, x = make_net(), torch.randn(2, 3, 8, 8)
    trunk = NamedLayers(net, ["0", "1"])
    before = trunk(x)
    net[1] = LowRank(net[1])
    first, second = trunk(x)
    assert torch.equal(first, before[0]) and torch.equal(second, 3 * before[1])


def test_it_can_be_saved_whole():
    trunk, x, file = NamedLayers(make_net(), ["1"]), torch.randn(2, 3, 8, 8), io.BytesIO()
    torch.save(trunk, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x)[0], trunk(x)[0])


def test_unknown_layer_is_named():
    with pytest.raises(
        ValueError, match=r"Sequential has no layers \['5', 'head'\], it has \['0', '1', '2', '3', '4'\]"
    ):
        NamedLayers(make_net(), ["1", "5", "head"])


def test_layer_that_is_not_reached_is_named():
    net = make_net()
    net[1].extra = nn.Conv2d(1, 1, 1)
    net[1].forward = lambda x: net[1][0](x)
    with pytest.raises(ValueError, match=r"does not reach its layers \['1.extra'\]"):
        NamedLayers(net, ["0", "1.extra"])(torch.randn(2, 3, 8, 8))


def test_vision_transformer_as_a_module_gives_its_intermediate_maps():
    net = timm.create_model("test_vit", img_size=64).eval()
    x = torch.randn(2, 3, 64, 64)
    maps = Intermediates(net, [1, -1])(x)
    assert [tuple(one.shape) for one in maps] == [(2, 64, 4, 4), (2, 64, 4, 4)]
    tokens = net.forward_intermediates(x, indices=[1, len(net.blocks) - 1], intermediates_only=True, output_fmt="NLC")
    for one, of_tokens in zip(maps, tokens, strict=True):
        torch.testing.assert_close(one.flatten(2).transpose(1, 2), of_tokens)


def test_which_way_a_backbone_goes():
    kinds = {
        "FeatureListNet": make_trunk("resnet10t", (1, -1), False, 3, None),
        "FeatureGetterNet": make_trunk("test_vit", (1, -1), False, 3, 64),
        "Intermediates": make_trunk(timm.create_model("test_vit"), (1, -1), False, 3, None),
        "NamedLayers": make_trunk("resnet10t", ("layer2", "layer4"), False, 3, None),
    }
    assert {type(trunk).__name__: trunk for trunk in kinds.values()} == kinds
    net = make_net()
    assert make_trunk(net, None, False, 3, None) is net
    assert make_trunk(net, (0,), False, 3, None) is net
    assert isinstance(make_trunk(net, ("1",), False, 3, None), NamedLayers)


def test_named_timm_model_has_no_classifier():
    trunk = make_trunk("resnet10t", ("layer2",), False, 1, None)
    assert isinstance(trunk.net.get_classifier(), nn.Identity)
    assert trunk(torch.zeros(2, 1, 32, 32))[0].shape == (2, 128, 4, 4)


@pytest.mark.parametrize(
    ("name", "known", "size"),
    [
        ("test_vit.r160_in1k", "test_vit.r160_in1k", True),
        ("hf-hub:timm/test_vit.r160_in1k", "test_vit.r160_in1k", True),
        ("hf-hub:timm/test_vit.r160_in1k@main", "test_vit.r160_in1k", True),
        ("hf-hub:timm/resnet10t.c3_in1k", "resnet10t.c3_in1k", False),
        ("local-dir:/folder/model", "model", False),
    ],
)
def test_names_of_pretrained_weights_and_of_the_hub_reach_timm(monkeypatch, name, known, size):
    seen, create = {}, timm.create_model

    def recorded(name, **options):
        seen.update(options, name=name)
        # what a hub holds is not fetched here
        return create("resnet10t", features_only=True, out_indices=(-1,))

    monkeypatch.setattr(timm, "create_model", recorded)
    make_trunk(name, (-1,), True, 1, 64)
    assert seen["name"] == name
    assert (seen["pretrained"], seen["in_chans"], seen["out_indices"]) == (True, 1, (-1,))
    assert ("img_size" in seen) == size


@pytest.mark.parametrize(
    ("name", "levels", "message"),
    [
        ("no_such_net", (-1,), "timm has no model named 'no_such_net'"),
        ("resnet10t", (1, 7), r"timm model 'resnet10t' \(family resnet\) gives no maps \(1, 7\) by features_only"),
        ("resnet10t", (-1, 1), r"levels must go deeper one by one, got \(-1, 1\) of 5 of timm model 'resnet10t'"),
        ("resnet10t", (1, 1, -1), r"levels must go deeper one by one, got \(1, 1, -1\) of 5"),
        ("resnet10t", (4, -1), r"levels must go deeper one by one, got \(4, -1\) of 5"),
        ("resnet10t", ("layer9",), r"ResNet has no layers \['layer9'\]"),
    ],
)
def test_bad_names_and_levels(name, levels, message):
    with pytest.raises(ValueError, match=message):
        make_trunk(name, levels, False, 3, None)
