import copy
import warnings

import pytest
import timm
import torch
from torch import nn

from dmsrl_adapt import MultiLevelBackbone
from dmsrl_adapt.backbones.local_windows import CORNERS, LANDMARKS

from ..stand_ins import Counted

LEVELS = ["global", *CORNERS]


class Pyramid(nn.Module):
    """Two maps, the second smaller and of one channel."""

    def forward(self, x):
        return [x, x[:, :1, ::2, ::2]]


def plain_trunk(channels=4):
    """A trunk that says nothing of its own channels; 32 pixels give a map of 8 x 8."""
    return nn.Sequential(nn.Conv2d(1, channels, 3, stride=4, padding=1), nn.BatchNorm2d(channels), nn.ReLU())


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
    G = MultiLevelBackbone(Pyramid(), in_chans=2, local=None, input_size=8)
    x = torch.randn(3, 2, 8, 8)
    torch.testing.assert_close(G(x), x[:, :1, ::2, ::2].mean((2, 3)))


def test_levels_of_a_module_that_gives_several_maps():
    G = MultiLevelBackbone(Pyramid(), in_chans=2, local=(1, 2), input_size=8, levels=(0, -1))
    x = torch.randn(3, 2, 8, 8)
    levels, last = G.levels(x), x[:, :1, ::2, ::2]
    parts = {"global": last, "window_0_0": last[..., :2], "window_0_1": last[..., 2:], "depth_0": x}
    assert list(levels) == list(parts)
    assert G.level_dims == {"global": 1, "window_0_0": 1, "window_0_1": 1, "depth_0": 2}
    for name, part in parts.items():
        torch.testing.assert_close(levels[name], part.mean((2, 3)))


@pytest.mark.parametrize("levels", [(1, 2, -1), ("layer1.0", "layer2", "layer4")])
def test_levels_of_several_depths_are_pooled_maps_of_the_network(levels):
    G = MultiLevelBackbone("resnet10t", levels=levels, local=None, input_size=64, global_pool="max").eval()
    net = timm.create_model("resnet10t", num_classes=0).eval()
    stored = {key.removeprefix("trunk.").removeprefix("net."): value for key, value in G.state_dict().items()}
    net.load_state_dict(stored)
    x = torch.randn(2, 3, 64, 64)
    maps, expected = net.maxpool(net.act1(net.bn1(net.conv1(x)))), []
    for number in range(1, 5):
        maps = getattr(net, f"layer{number}")(maps)
        expected.append(maps.amax((2, 3)))
    names = ["depth_1", "depth_2"] if levels[0] == 1 else ["layer1_0", "layer2"]
    assert G.level_dims == {"global": 512, names[0]: 64, names[1]: 128}
    for name, part in zip(("global", *names), (expected[3], expected[0], expected[1]), strict=True):
        torch.testing.assert_close(G.levels(x)[name], part)


def test_vision_transformer_as_a_module_with_its_classifier():
    net = timm.create_model("test_vit", img_size=64)
    G = MultiLevelBackbone(net, levels=(1, -1), local=(2, 2), input_size=64)
    assert G.level_dims["global"] == G.level_dims["depth_1"] == 64
    assert G(torch.randn(2, 3, 64, 64)).shape == (2, G.feature_dim) == (2, 6 * 64)


def test_landmarks_reach_the_windows():
    G = MultiLevelBackbone(nn.Identity(), in_chans=1, local="landmarks", input_size=8)
    assert list(G.level_dims) == ["global", *LANDMARKS]
    x, landmarks = torch.randn(2, 1, 8, 8), torch.rand(2, 5, 2)
    windows = G.windows(x, landmarks)
    fused, levels = G(x, return_levels=True, landmarks=landmarks)
    for name in LANDMARKS:
        torch.testing.assert_close(levels[name], windows[name].mean((2, 3)))
    assert torch.equal(fused, torch.cat(list(G.levels(x, landmarks).values()), dim=1))
    assert not torch.equal(fused, G(x))


@pytest.mark.parametrize("pool", ["avg", "max", "gem"])
def test_windows_have_a_pool_of_their_own(pool):
    G = MultiLevelBackbone(nn.Identity(), in_chans=2, input_size=7, local_pool=pool)
    x = torch.rand(3, 2, 7, 7)
    reduced = {"avg": lambda w: w.mean((2, 3)), "max": lambda w: w.amax((2, 3))}
    reduced["gem"] = lambda w: w.pow(3).mean((2, 3)).pow(1 / 3)
    levels = G.levels(x)
    torch.testing.assert_close(levels["global"], x.mean((2, 3)))
    torch.testing.assert_close(levels["top_right"], reduced[pool](x[:, :, :5, 2:]))


LOUD = 1000.0


class Uneven(nn.Module):
    """Maps of two depths, the first much louder than the second and of more channels."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 12, 3), nn.Conv2d(12, 4, 3)

    def forward(self, x):
        first = self.first(x)
        return [LOUD * first, self.second(first)]


@pytest.mark.parametrize(("fuse", "out_dim"), [("concat", None), ("norm", None), ("project", 6)])
def test_no_level_drowns_another_unless_they_are_taken_as_they_are(fuse, out_dim):
    G = MultiLevelBackbone(Uneven(), in_chans=1, local=None, input_size=9, levels=(0, -1), fuse=fuse, out_dim=out_dim)
    fused, levels = G(torch.randn(64, 1, 9, 9), return_levels=True)
    loudness = {name: part.square().sum(1).mean().item() for name, part in levels.items()}
    share = loudness["depth_0"] / sum(loudness.values())
    assert share > 0.999 if fuse == "concat" else 0.4 < share < 0.6
    assert torch.equal(fused, torch.cat(list(levels.values()), dim=1))
    assert G.level_dims == ({"global": 4, "depth_0": 12} if out_dim is None else {"global": 6, "depth_0": 6})
    assert G.feature_dim == fused.shape[1] == (16 if out_dim is None else 12)
    if fuse == "norm":
        torch.testing.assert_close(fused.square().mean(1), torch.ones(64))


def test_zero_features_stay_zero_and_have_a_gradient():
    G = MultiLevelBackbone(nn.Identity(), in_chans=2, input_size=4, fuse="norm")
    x = torch.zeros(2, 2, 4, 4, requires_grad=True)
    G(x).sum().backward()
    assert x.grad.isfinite().all()


def test_each_level_is_projected_for_itself():
    G = MultiLevelBackbone(plain_trunk(), in_chans=1, input_size=32, out_dim=3, fuse="project")
    x = torch.randn(5, 1, 32, 32)
    raw = MultiLevelBackbone(G.trunk, in_chans=1, input_size=32).levels(x)
    levels = G.levels(x)
    for project, name in zip(G.projects, LEVELS, strict=True):
        linear = project[0](raw[name])
        expected = ((linear - linear.mean(0)) / (linear.var(0, unbiased=False) + 1e-5).sqrt()).clamp(min=0)
        torch.testing.assert_close(levels[name], expected)
    assert {name.split(".")[0] for name in G.state_dict()} == {"trunk", "projects"}


SETTINGS = {
    "as published": {},
    "landmarks": {"local": "landmarks"},
    "depths in one length": {"local": (2, 2), "levels": (1, -1), "fuse": "norm"},
    "depths projected": {"levels": (1, -1), "fuse": "project", "out_dim": 8, "global_pool": "gem", "local_pool": "gem"},
    "named layers": {"levels": ("layer2.0", "layer4"), "input_size": 64, "local_pool": "max", "out_dim": 8},
}


BATCH = torch.export.Dim("batch", max=1024)  # torch 2.7 takes no size without an upper bound


def make(settings, seed=0):
    torch.manual_seed(seed)
    return MultiLevelBackbone("resnet10t", **settings)


every_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())


@every_setting
def test_sizes_are_known_before_the_first_call_whatever_the_settings(settings):
    G = make(settings)
    sizes, feature_dim = dict(G.level_dims), G.feature_dim
    fused, levels = G(torch.randn(2, 3, 64, 64), return_levels=True)
    assert {name: level.shape[1] for name, level in levels.items()} == sizes == G.level_dims
    assert fused.shape == (2, feature_dim)


@every_setting
def test_channels_last_gives_the_same(settings):
    G, x = make(settings), torch.randn(4, 3, 64, 64)
    expected = G(x)
    changed = make(settings).to(memory_format=torch.channels_last)
    fused = changed(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(fused, expected, rtol=1e-3, atol=1e-4)
    fused.sum().backward()
    assert next(changed.trunk.parameters()).grad.is_contiguous(memory_format=torch.channels_last)


@every_setting
def test_bfloat16_autocast_gives_nearly_the_same_and_a_gradient(settings):
    G, x = make(settings).eval(), torch.randn(4, 3, 64, 64)
    expected = G(x)
    with torch.autocast("cpu", torch.bfloat16):
        fused, levels = G(x, return_levels=True)
    assert {level.dtype for level in levels.values()} == {torch.bfloat16}
    assert (fused.float() - expected).norm() < 0.05 * expected.norm()
    fused.float().square().sum().backward()
    assert all(one.grad.isfinite().all() for one in G.trunk.parameters() if one.grad is not None)


@every_setting
def test_it_compiles_in_one_piece(settings):
    torch._dynamo.reset()
    G, x = make(settings).eval(), torch.randn(2, 3, 64, 64)
    compiled = torch.compile(G, backend="eager", fullgraph=True)
    expected, levels = G(x, return_levels=True)
    fused, same_levels = compiled(x, return_levels=True)
    torch.testing.assert_close(fused, expected)
    for name, level in levels.items():
        torch.testing.assert_close(same_levels[name], level)
    torch._dynamo.reset()


@every_setting
def test_it_is_exported_for_any_batch_size(settings):
    G = make(settings).eval()
    program = torch.export.export(G, (torch.randn(2, 3, 64, 64),), dynamic_shapes=({0: BATCH},))
    x = torch.randn(5, 3, 64, 64)
    torch.testing.assert_close(program.module()(x), G(x), rtol=1e-4, atol=1e-5)


@every_setting
def test_it_is_traced_for_any_batch_size(settings):
    G = make(settings).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is an old way
        traced = torch.jit.trace(G, torch.randn(2, 3, 64, 64))
    x = torch.randn(5, 3, 64, 64)
    torch.testing.assert_close(traced(x), G(x), rtol=1e-4, atol=1e-5)


def test_vision_transformer_is_exported_and_traced_for_any_batch_size():
    G, x = MultiLevelBackbone("test_vit", levels=(1, -1), local=(2, 2), input_size=64).eval(), torch.randn(5, 3, 64, 64)
    program = torch.export.export(G, (x[:2],), dynamic_shapes=({0: BATCH},))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(G, x[:2])
    for form in (program.module(), traced):
        torch.testing.assert_close(form(x), G(x), rtol=1e-4, atol=1e-5)


@every_setting
def test_state_of_one_is_loaded_by_another_and_by_a_copy(settings):
    G, other, x = make(settings), make(settings, seed=1).eval(), torch.randn(4, 3, 64, 64)
    G(x)
    G.eval()
    assert not torch.equal(G(x), other(x))
    other.load_state_dict(G.state_dict())
    assert torch.equal(G(x), other(x))
    twin = copy.deepcopy(G)
    assert torch.equal(G(x), twin(x))
    with torch.no_grad():
        next(twin.trunk.parameters()).mul_(2)
    assert torch.equal(G(x), other(x))


def test_names_of_the_state_are_those_that_checkpoints_have():
    def kept(settings):
        return [name for name in make(settings).state_dict() if not name.startswith("trunk.")]

    tail = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert kept({}) == kept({"local": "landmarks"}) == kept({"fuse": "norm", "levels": (1, -1)}) == []
    assert kept({"out_dim": 4}) == [f"project.{name}" for name in tail]
    assert kept({"out_dim": 4, "fuse": "project", "local": (1, 1)}) == [
        f"projects.{number}.{name}" for number in (0, 1) for name in tail
    ]
    assert sorted(kept({"global_pool": "gem", "local_pool": "gem", "levels": (1, -1)})) == [
        "local_pool.power",
        "pools.0.power",
        "pools.1.power",
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"backbone": "no_such_net"}, "timm has no model named 'no_such_net'"),
        ({"local": "grid"}, r"local must be 'corners', 'landmarks', \(rows, columns\) or None, got 'grid'"),
        ({"global_pool": "sum"}, r"global_pool must be one of \('avg', 'max', 'gem', 'flatten'\), got 'sum'"),
        ({"local_pool": "flatten"}, r"local_pool must be one of \('avg', 'max', 'gem'\), got 'flatten'"),
        ({"fuse": "sum"}, r"fuse must be one of \('concat', 'norm', 'project'\), got 'sum'"),
        ({"fuse": "project"}, "out_dim is needed by fuse='project'"),
        ({"levels": ()}, r"levels must be numbers or names of layers, at least one, got \(\)"),
        ({"levels": (1, "layer4")}, r"levels must be numbers or names of layers, at least one, got \(1, 'layer4'\)"),
        ({"levels": 4}, r"levels must be numbers or names of layers, at least one, got 4"),
        ({"levels": "layer4"}, r"levels must be numbers or names of layers, at least one, got 'layer4'"),
        ({"levels": ("0", "0", "1")}, r"levels must have names of their own, got \('0', '0', 'global', 'top_left'"),
        ({"levels": (1, 5), "input_size": 8, "backbone": Pyramid()}, r"Pyramid gives no maps of an image of shape"),
        ({"levels": ("0",), "backbone": plain_trunk()}, "input_size, the side of the images in pixels, is needed"),
        ({"levels": ("0",), "backbone": nn.Sequential(nn.Flatten()), "input_size": 8}, r"got \(1, 64\) for 'global'"),
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
def test_bad_arguments_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        MultiLevelBackbone(**{"in_chans": 1, **changed})


def test_timm_model_without_maps_is_refused(monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("features_only not implemented")

    monkeypatch.setattr(timm, "create_model", refuse)
    message = r"'resnet10t' \(family resnet\) gives no maps \(-1,\) by features_only: features_only not implemented"
    with pytest.raises(ValueError, match=message):
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


def test_named_layers_with_channels_last_give_the_same_levels():
    net = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, img_size=64, depths=(1, 1, 1, 1)).eval()
    x = torch.randn(2, 3, 64, 64)
    by_name = MultiLevelBackbone(net, levels=("layers.1", "layers.3"), local=None, input_size=64)
    assert by_name.level_dims == {"global": 768, "layers_1": 192}
    tokens = net.layers[1](net.layers[0](net.patch_embed(x)))
    torch.testing.assert_close(by_name.levels(x)["layers_1"], tokens.mean((1, 2)))


def test_timm_model_cut_off_at_its_last_map_by_hand():
    trunk = timm.create_model("resnet10t", num_classes=0, global_pool="")
    G = MultiLevelBackbone(trunk, local=None, input_size=64)
    assert G.feature_dim == 512
    assert G(torch.randn(2, 3, 64, 64)).shape == (2, 512)
