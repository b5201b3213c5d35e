import pytest
import torch

from dmsrl_adapt import MultiLevelBackbone
from dmsrl_adapt.backbones import StoredMaps


def test_maps_come_back_as_they_were_put_in_a_row():
    maps = [torch.randn(3, 2, 4, 5), torch.randn(3, 6, 2, 2)]
    rows = torch.cat([one.flatten(1) for one in maps], dim=1)
    for got, expected in zip(StoredMaps([(2, 4, 5), (6, 2, 2)])(rows), maps, strict=True):
        assert torch.equal(got, expected)


def test_half_precision_becomes_float32():
    assert StoredMaps([(1, 2, 2)])(torch.ones(2, 4).half())[0].dtype == torch.float32


def test_it_is_a_backbone_whose_sizes_are_known():
    G = MultiLevelBackbone(StoredMaps([(2, 4, 4), (3, 2, 2)]), levels=(0, -1), local=(1, 2), out_dim=4)
    assert G.level_dims == {"global": 3, "window_0_0": 3, "window_0_1": 3, "depth_0": 2}
    levels = G.levels(torch.arange(88.0).view(2, 44))
    assert levels["depth_0"][0].tolist() == [7.5, 23.5]
    assert {name: part.shape[1] for name, part in levels.items()} == G.level_dims
    assert {name.split(".")[0] for name in G.state_dict()} == {"project"}


@pytest.mark.parametrize("shapes", [[], [(2, 4)], [(2, 0, 4)]])
def test_bad_shapes(shapes):
    with pytest.raises(ValueError, match=r"shapes must be \(C, H, W\), at least one, got \["):
        StoredMaps(shapes)


@pytest.mark.parametrize("shape", [(3, 43), (3, 44, 1), (44,)])
def test_rows_of_another_size_are_refused(shape):
    with pytest.raises(ValueError, match=r"rows must have shape \(N, 44\), got \("):
        StoredMaps([(2, 4, 4), (3, 2, 2)])(torch.zeros(shape))
