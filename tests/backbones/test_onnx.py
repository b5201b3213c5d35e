"""ONNX files and traces of a backbone give its numbers, for any number of images and images of any size."""

import warnings

import pytest
import torch
from torch import nn

from dmsrl_adapt import MultiLevelBackbone

SETTINGS = {
    "grid": {"local": (2, 2)},
    "uneven grid": {"local": (3, 2)},
    "corners": {"local": "corners"},
    "narrow corners": {"local": "corners", "window": 0.3},
    "landmarks": {"local": "landmarks"},
    "no windows": {"local": None},
    "pools": {"local": (2, 3), "global_pool": "gem", "local_pool": "max", "fuse": "norm"},
    "projected": {"local": (1, 2), "fuse": "project", "out_dim": 6},
}
# another number, and images whose maps have other and uneven sides
SHAPES = ((2, 3, 36, 36), (5, 3, 36, 36), (1, 3, 36, 36), (3, 3, 44, 68))
every_setting = pytest.mark.parametrize("name", SETTINGS)


class WithLandmarks(nn.Module):
    """Takes landmarks as a second input."""

    def __init__(self, G):
        super().__init__()
        self.G = G

    def forward(self, x, landmarks):
        return self.G(x, landmarks=landmarks)


def make(name):
    """A backbone whose maps have a quarter of the image's sides, 9 x 9 cells for 36 pixels."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 5, 3, 2, 1))
    return MultiLevelBackbone(net, input_size=36, **SETTINGS[name]).eval()


def session(module, inputs, path, **options):
    """The module as ONNX Runtime runs its file."""
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, inputs, str(path), **options)
    made = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(*given):
        names = [one.name for one in made.get_inputs()]
        return torch.from_numpy(made.run(None, {n: x.numpy() for n, x in zip(names, given, strict=True)})[0])

    return run


@every_setting
def test_a_file_of_the_torchscript_exporter_gives_the_numbers(name, tmp_path):
    G, axes = make(name), {"x": {0: "n", 2: "h", 3: "w"}}
    run = session(G, (torch.randn(SHAPES[0]),), tmp_path / "g.onnx", dynamo=False, input_names=["x"], dynamic_axes=axes)
    for shape in SHAPES:
        x = torch.randn(shape)
        torch.testing.assert_close(run(x), G(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dynamo", [False, True])
def test_landmarks_are_an_input_of_a_file(dynamo, tmp_path):
    module, points = WithLandmarks(make("landmarks")), torch.rand(5, 5, 2)
    points[1, 2, 0] = torch.nan
    x = torch.randn(5, 3, 36, 36)
    options = {"dynamic_axes": {"x": {0: "n"}, "landmarks": {0: "n"}}, "input_names": ["x", "landmarks"]}
    if dynamo:
        pytest.importorskip("onnxscript")
        batch = torch.export.Dim("batch", max=1024)
        options = {"dynamic_shapes": ({0: batch}, {0: batch}), "verbose": False}
    run = session(module, (x[:2], points[:2]), tmp_path / "g.onnx", dynamo=dynamo, **options)
    torch.testing.assert_close(run(x, points), module(x, points), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["uneven grid", "corners", "pools"])
def test_a_file_of_the_newer_exporter_gives_the_numbers(name, tmp_path):
    pytest.importorskip("onnxscript")
    G, shapes = make(name), ({0: torch.export.Dim("batch", max=1024)},)
    run = session(G, (torch.randn(SHAPES[0]),), tmp_path / "g.onnx", dynamo=True, dynamic_shapes=shapes, verbose=False)
    for shape in SHAPES[:3]:
        x = torch.randn(shape)
        torch.testing.assert_close(run(x), G(x), rtol=1e-4, atol=1e-5)


@every_setting
def test_a_trace_gives_the_numbers_for_images_of_any_size(name):
    G = make(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is an old way
        traced = torch.jit.trace(G, torch.randn(SHAPES[0]))
    for shape in SHAPES:
        x = torch.randn(shape)
        torch.testing.assert_close(traced(x), G(x), rtol=1e-4, atol=1e-5)
