"""Backbones of other packages: what they give is read as maps, or one error says what came."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18, swin_t
from torchvision.models.feature_extraction import create_feature_extractor

from dmsrl_adapt import MultiLevelBackbone
from dmsrl_adapt.backbones.foreign_outputs import listed_maps, looks_channels_last

Pair = namedtuple("Pair", ["early", "late"])


@dataclass
class Maps:
    """As a data class of one's own."""

    early: Tensor
    late: Tensor
    extra: Tensor | None = None


class Hugging(OrderedDict):
    """As Hugging Face's `ModelOutput`, a dict whose values are also attributes."""

    def __getattr__(self, name: str) -> object:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error


class Giving(nn.Module):
    """Gives what a function makes of an early map, of 4 channels, and a late one, of 8."""

    def __init__(self, form) -> None:
        super().__init__()
        self.first, self.second, self.form = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 8, 3, 2, 1), form

    def forward(self, x):
        early = self.first(x)
        return self.form(early, self.second(early))


NAMED = {
    "dict": lambda early, late: {"early": early, "late": late},
    "named tuple": Pair,
    "data class": Maps,
    "dict with None": lambda early, late: {"early": early, "aux": None, "late": late},
    "model output": lambda early, late: Hugging(early=early, late=late),
}
FORMS = {
    **NAMED,
    "list": lambda early, late: [early, late],
    "pooled beside": lambda early, late: {"early": early, "late": late, "pooled": late.mean((2, 3))},
    "feature_maps": lambda early, late: Hugging(feature_maps=(early, late), hidden_states=None),
    "hidden_states": lambda early, late: Hugging(
        last_hidden_state=late, pooler_output=late.mean((2, 3), keepdim=True), hidden_states=(early, late)
    ),
    "reshaped": lambda early, late: Hugging(
        last_hidden_state=late.flatten(2).mT,
        hidden_states=(early.flatten(2).mT, late.flatten(2).mT),
        reshaped_hidden_states=(early, late),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_output_gives_the_same_levels(form):
    net, x = Giving(FORMS[form]), torch.randn(2, 3, 32, 32)
    G = MultiLevelBackbone(net, levels=(0, -1), input_size=32)
    assert (G.level_dims["global"], G.level_dims["depth_0"]) == (8, 4)
    early = net.first(x)
    levels = G.levels(x)
    torch.testing.assert_close(levels["depth_0"], early.mean((2, 3)))
    torch.testing.assert_close(levels["global"], net.second(early).mean((2, 3)))
    last = MultiLevelBackbone(net, input_size=32)
    torch.testing.assert_close(last(x), torch.cat([part for name, part in levels.items() if name != "depth_0"], 1))


def test_last_hidden_state_is_the_map_and_not_what_is_pooled_of_it():
    net = Giving(lambda early, late: Hugging(last_hidden_state=late, pooler_output=late.mean((2, 3), keepdim=True)))
    G, x = MultiLevelBackbone(net, input_size=32), torch.randn(2, 3, 32, 32)
    assert not torch.equal(G.levels(x)["top_left"], G.levels(x)["global"])


@pytest.mark.parametrize("form", NAMED)
def test_levels_by_the_names_of_an_output(form):
    net, x = Giving(NAMED[form]), torch.randn(2, 3, 32, 32)
    G = MultiLevelBackbone(net, levels=("early", "late"), local=None, input_size=32)
    assert G.level_dims == {"global": 8, "early": 4}
    torch.testing.assert_close(G.levels(x)["early"], net.first(x).mean((2, 3)))


def test_a_feature_extractor_of_torchvision_gives_levels_by_name_and_by_number():
    whole, x = resnet18().eval(), torch.randn(2, 3, 64, 64)
    net = create_feature_extractor(whole, {"layer3": "layer3", "layer4": "last"}).eval()
    by_name = MultiLevelBackbone(net, levels=("layer3", "last"), local=None, input_size=64).eval()
    by_number = MultiLevelBackbone(net, levels=(0, 1), local=None, input_size=64).eval()
    of_layers = MultiLevelBackbone(whole, levels=("layer3", "layer4"), local=None, input_size=64).eval()
    assert by_name.level_dims == {"global": 512, "layer3": 256}
    assert torch.equal(by_name(x), of_layers(x)) and torch.equal(by_number(x), of_layers(x))
    same = create_feature_extractor(whole, ["layer3", "layer4"]).eval()
    assert torch.equal(
        MultiLevelBackbone(same, levels=("layer3", "layer4"), local=None, input_size=64)(x), of_layers(x)
    )


def test_channels_last_is_told_by_the_maps_where_the_backbone_says_nothing_of_it():
    net, x = swin_t().features.eval(), torch.randn(2, 3, 64, 64)
    maps = net(x)
    assert maps.shape == (2, 2, 2, 768)
    G = MultiLevelBackbone(net, input_size=64)
    assert G.feature_dim == 5 * 768
    torch.testing.assert_close(G.levels(x)["global"], maps.mean((1, 2)))
    by_name = MultiLevelBackbone(net, levels=("3", "7"), local=None, input_size=64)
    assert by_name.level_dims == {"global": 768, "3": 192}


class Square(nn.Module):
    """Maps of as many channels as rows and of half as many columns, for images of any size or of one."""

    def __init__(self, side):
        super().__init__()
        self.side = side

    def forward(self, x):
        if x.shape[3] != self.side:
            raise AssertionError("another size")
        return x[:, :1, :8, :8].expand(-1, 32, -1, -1).permute(0, 2, 3, 1)


def test_as_many_channels_as_rows_are_not_taken_for_channels_last():
    net = nn.Conv2d(3, 8, (4, 8), (4, 8))
    G = MultiLevelBackbone(net, local=None, input_size=32)
    assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 8, 8, 4)
    assert G.feature_dim == 8 and not any(G.is_channels_last.values())
    assert MultiLevelBackbone(Square(32), local=None, input_size=32).feature_dim == 32
    square, wide = torch.zeros(1, 7, 7, 7), torch.zeros(1, 7, 7, 14)
    assert not looks_channels_last(square, None) and not looks_channels_last(square, wide)


def test_vectors_are_features_where_no_windows_are_cut():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5))
    x = torch.randn(2, 3, 8, 8)
    G = MultiLevelBackbone(net, local=None, input_size=8)
    assert G.feature_dim == 5 and torch.equal(G(x), net(x))
    with pytest.raises(ValueError, match=r"got \(1, 5\) for 'global'; of vectors \(N, D\) there are no windows"):
        MultiLevelBackbone(net, input_size=8)


@pytest.mark.parametrize(
    ("form", "levels", "message"),
    [
        (
            lambda early, late: late.flatten(2).mT,
            None,
            r"got \(1, 64, 8\) for 'global'; tokens \(N, L, D\) need a module",
        ),
        (lambda early, late: "maps", None, "the output must be a tensor, or a list, tuple or dict of tensors, got str"),
        (lambda early, late: None, None, "got NoneType with NoneType in it"),
        (lambda early, late: [early, "late"], None, "got list with str in it"),
        (lambda early, late: [], None, "got list with nothing in it"),
        (lambda early, late: {}, None, "got nothing with nothing in it"),
        (lambda early, late: {"early": "text"}, None, "got early str with nothing in it"),
        (
            NAMED["dict"],
            ("late", "nope"),
            r"Giving has no layers \['late', 'nope'\].*the output has no \['nope'\], it has",
        ),
        (lambda early, late: late, ("nope",), r"Giving has no layers \['nope'\], it has \['first', 'second'\]"),
    ],
)
def test_other_outputs_are_one_error_that_says_what_came(form, levels, message):
    with pytest.raises(ValueError, match=message):
        MultiLevelBackbone(Giving(form), levels=levels, local=None, input_size=32)


def test_a_layer_that_gives_a_tuple_of_one_is_read_and_one_with_a_list_is_refused():
    net = nn.Sequential(Giving(lambda early, late: (late,)), Giving(lambda early, late: late))
    net[1].first = nn.Identity()
    net[1].forward = lambda given: given[0]
    x = torch.randn(2, 3, 32, 32)
    assert MultiLevelBackbone(net, levels=("0",), local=None, input_size=32)(x).shape == (2, 8)
    net[0].form = lambda early, late: [late, early]
    with pytest.raises(ValueError, match=r"Sequential gives no maps of an image of shape .*'list' object"):
        MultiLevelBackbone(net, levels=("0",), local=None, input_size=32)


def test_a_single_tensor_is_one_map():
    x = torch.zeros(1, 2, 3, 3)
    assert listed_maps(x)[0] is x


def test_it_is_exported_compiled_and_copied_with_a_dict_inside():
    G, x = MultiLevelBackbone(Giving(NAMED["dict"]), local=(2, 2), input_size=32).eval(), torch.randn(2, 3, 32, 32)
    exported = torch.export.export(G, (x,), dynamic_shapes=({0: torch.export.Dim("n", min=1)},)).module()
    more = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(exported(more), G(more))
    torch.testing.assert_close(torch.compile(G, backend="eager", fullgraph=True)(x), G(x))
