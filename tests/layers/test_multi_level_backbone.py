import pytest
import timm
import torch
from torch import nn

from dmsrl_adapt import MultiLevelBackbone
from dmsrl_adapt.layers.multi_level_backbone import CORNERS, corner_windows

from ..stand_ins import Counted

LEVELS = ["global", *CORNERS]


def plain_trunk(channels=4):
    """A trunk that says nothing of its own channels; 32 pixels give a map of 8 x 8."""
    return nn.Sequential(nn.Conv2d(1, channels, 3, stride=4, padding=1), nn.BatchNorm2d(channels), nn.ReLU())


def test_windows_of_7_by_7_are_5_by_5_at_the_corners_and_overlap():
    maps = torch.arange(49.0).view(1, 1, 7, 7)
    windows = corner_windows(maps, 5 / 7)
    assert list(windows) == list(CORNERS)
    assert {tuple(window.shape) for window in windows.values()} == {(1, 1, 5, 5)}
    cells = {name: window[0, 0].tolist() for name, window in windows.items()}
    # first and last cell of each; a cell is 7 * row + column
    ends = {name: (rows[0][0], rows[-1][-1]) for name, rows in cells.items()}
    assert ends == {"top_left": (0, 32), "top_right": (2, 34), "bottom_left": (14, 46), "bottom_right": (16, 48)}
    common = set.intersection(*({cell for row in rows for cell in row} for rows in cells.values()))
    assert common == {7.0 * row + column for row in (2, 3, 4) for column in (2, 3, 4)}


@pytest.mark.parametrize(
    ("shape", "share", "window"),
    [((7, 7), 1.0, (7, 7)), ((4, 8), 0.5, (2, 4)), ((1, 1), 5 / 7, (1, 1)), ((3, 3), 0.1, (1, 1))],
)
def test_window_sizes(shape, share, window):
    for part in corner_windows(torch.zeros(2, 3, *shape), share).values():
        assert part.shape == (2, 3, *window)


@pytest.mark.parametrize(("side", "do_overlap"), [(2, False), (3, True), (4, True), (7, True)])
def test_windows_of_the_paper_overlap_from_3_by_3_on(side, do_overlap):
    maps = torch.arange(float(side * side)).view(1, 1, side, side)
    cells = [cell for window in corner_windows(maps, 5 / 7).values() for cell in window.flatten().tolist()]
    assert (len(set(cells)) < len(cells)) == do_overlap


def test_local_features_of_a_single_cell_are_the_global_one():
    levels = MultiLevelBackbone(nn.Identity(), in_chans=2, input_size=1).levels(torch.randn(3, 2, 1, 1))
    assert all(torch.equal(level, levels["global"]) for level in levels.values())


def test_levels_are_the_pooled_map_and_its_windows():
    G = MultiLevelBackbone(nn.Identity(), in_chans=2, input_size=7)
    x = torch.randn(3, 2, 7, 7)
    levels = G.levels(x)
    parts = [x, x[:, :, :5, :5], x[:, :, :5, 2:], x[:, :, 2:, :5], x[:, :, 2:, 2:]]
    assert list(levels) == LEVELS
    for level, part in zip(levels.values(), parts, strict=True):
        torch.testing.assert_close(level, part.flatten(2).mean(2))
    assert torch.equal(G(x), torch.cat(list(levels.values()), dim=1))


def test_global_pools():
    x = torch.randn(2, 3, 4, 4)
    for pool, expected in {"max": x.flatten(2).max(2).values, "flatten": x.flatten(1)}.items():
        G = MultiLevelBackbone(nn.Identity(), in_chans=3, local=None, global_pool=pool, input_size=4)
        assert torch.equal(G(x), expected)
        assert G.feature_dim == expected.shape[1]


@pytest.mark.parametrize(
    ("settings", "feature_dim"),
    [
        ({"backbone": "resnet18"}, 5 * 512),
        ({"backbone": "resnet18", "local": None}, 512),
        ({"backbone": "resnet18", "out_dim": 16}, 16),
        ({"backbone": "resnet18", "global_pool": "flatten", "input_size": 64}, 512 * 4 + 4 * 512),
        ({"input_size": 32}, 5 * 4),
        ({"input_size": 32, "global_pool": "max", "out_dim": 3}, 3),
        ({"input_size": 32, "global_pool": "flatten"}, 4 * 64 + 4 * 4),
        ({"input_size": 32, "global_pool": "flatten", "local": None}, 4 * 64),
    ],
)
def test_feature_dim_is_known_before_the_first_call_and_right(settings, feature_dim):
    G = MultiLevelBackbone(**{"backbone": plain_trunk(), "in_chans": 1, **settings})
    assert G.feature_dim == feature_dim
    size = settings.get("input_size", 64)
    fused, levels = G(torch.randn(2, 1, size, size), return_levels=True)
    assert fused.shape == (2, feature_dim)
    assert {name: level.shape[1] for name, level in levels.items()} == G.level_dims


def test_one_pass_of_the_trunk_gives_everything():
    trunk = Counted(plain_trunk())
    G = MultiLevelBackbone(trunk, in_chans=1, input_size=32)
    trunk.count = 0
    x = torch.randn(2, 1, 32, 32)
    fused, levels = G(x, return_levels=True)
    assert trunk.count == 1
    G(x)
    G.levels(x)
    assert trunk.count == 3
    assert torch.equal(fused, torch.cat(list(levels.values()), dim=1))


def test_projection_is_linear_normalised_and_rectified():
    G = MultiLevelBackbone(plain_trunk(), in_chans=1, input_size=32, out_dim=6)
    x = torch.randn(5, 1, 32, 32)
    fused, levels = G(x, return_levels=True)
    linear = G.project[0](torch.cat(list(levels.values()), dim=1))
    expected = ((linear - linear.mean(0)) / (linear.var(0, unbiased=False) + 1e-5).sqrt()).clamp(min=0)
    torch.testing.assert_close(fused, expected)
    assert {name.split(".")[0] for name in G.state_dict()} == {"trunk", "project"}


def test_gradient_reaches_the_trunk_from_every_level():
    G = MultiLevelBackbone(plain_trunk(), in_chans=1, input_size=32)
    for name, level in G.levels(torch.randn(2, 1, 32, 32)).items():
        G.zero_grad()
        level.sum().backward(retain_graph=True)
        assert G.trunk[0].weight.grad.abs().sum() > 0, name


@pytest.mark.parametrize("training", [True, False])
def test_looking_at_a_module_leaves_it_as_it_was(training):
    trunk = plain_trunk().train(training)
    before = {key: value.clone() for key, value in trunk.state_dict().items()}
    G = MultiLevelBackbone(trunk, in_chans=1, input_size=32)
    assert G.trunk.training == training
    assert all(torch.equal(value, before[key]) for key, value in trunk.state_dict().items())


def test_frozen_statistics_inside_a_module_stay_frozen():
    trunk = plain_trunk()
    trunk[1].eval()
    MultiLevelBackbone(trunk, in_chans=1, input_size=32)
    assert [part.training for part in trunk] == [True, False, True]


def test_last_of_several_maps_counts():
    class Pyramid(nn.Module):
        def forward(self, x):
            return [x, x[:, :1, ::2, ::2]]

    G = MultiLevelBackbone(Pyramid(), in_chans=2, local=None, input_size=8)
    x = torch.randn(3, 2, 8, 8)
    torch.testing.assert_close(G(x), x[:, :1, ::2, ::2].mean((2, 3)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"backbone": "no_such_net"}, "timm has no model named 'no_such_net'"),
        ({"local": "grid"}, "local must be 'corners' or None, got 'grid'"),
        ({"global_pool": "sum"}, r"global_pool must be one of \('avg', 'max', 'flatten'\), got 'sum'"),
        ({"window": 0.0}, "window must be above 0 and at most 1, got 0.0"),
        ({"window": 1.5}, "window must be above 0 and at most 1, got 1.5"),
        ({"out_dim": 0}, "out_dim must be at least 1 or None, got 0"),
        (
            {"backbone": "resnet10t", "global_pool": "flatten"},
            "input_size, the side of the images in pixels, is needed",
        ),
        ({"backbone": plain_trunk()}, "input_size, the side of the images in pixels, is"),
        ({"backbone": nn.Flatten(), "input_size": 8}, r"must give maps of shape \(N, C, H, W\), got \(1, 64\)"),
    ],
)
def test_bad_arguments(changed, message):
    with pytest.raises(ValueError, match=message):
        MultiLevelBackbone(**{"in_chans": 1, **changed})


def test_timm_model_without_maps_is_refused(monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("features_only not implemented")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(ValueError, match="'resnet10t' gives no maps by features_only: features_only not implemented"):
        MultiLevelBackbone("resnet10t")


def test_timm_model_with_channels_last_gives_the_same_levels():
    small = {"embed_dim": 12, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1), "img_size": 64, "window_size": 2}
    trunk = timm.create_model("swin_tiny_patch4_window7_224", features_only=True, out_indices=(-1,), **small).eval()
    x = torch.randn(2, 3, 64, 64)
    maps = trunk(x)[-1]
    assert maps.shape == (2, 2, 2, 96)
    G = MultiLevelBackbone(trunk)
    assert G.feature_dim == 5 * 96
    torch.testing.assert_close(G.levels(x)["global"], maps.mean((1, 2)))
    assert G(x).shape == (2, G.feature_dim)


def test_timm_model_cut_off_at_its_last_map_by_hand():
    trunk = timm.create_model("resnet10t", num_classes=0, global_pool="")
    G = MultiLevelBackbone(trunk, local=None, input_size=64)
    assert G.feature_dim == 512
    assert G(torch.randn(2, 3, 64, 64)).shape == (2, 512)
