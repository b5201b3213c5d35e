import copy

import numpy as np
import pytest
import torch
from torch import nn

from dmsrl_adapt import MultiLevelBackbone
from dmsrl_adapt.backbones import NamedLayers, StoredMaps, frozen_maps

from ..stand_ins import Counted


class Interrupted(Exception):
    pass


class Breaks(nn.Module):
    """Passes images on until it is told to break off at a call."""

    def __init__(self):
        super().__init__()
        self.calls, self.last = [], None

    def forward(self, x):
        self.calls.append(len(x))
        if self.last is not None and len(self.calls) > self.last:
            raise Interrupted
        return x


def make_network(seed=0):
    torch.manual_seed(seed)
    first = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())
    return NamedLayers(nn.Sequential(Breaks(), first, nn.Conv2d(4, 6, 3), nn.Flatten()), ["1", "2"])


def make_images(count=10):
    return torch.randn(count, 3, 11, 11, generator=torch.Generator().manual_seed(4))


def maps_by_hand(network, images):
    network = copy.deepcopy(network).eval()
    with torch.no_grad():
        return [maps.half() for maps in network(images)]


def kept(network, images, folder, **settings):
    return frozen_maps(images, network, folder, shows_progress=False, **settings)


@pytest.mark.parametrize("batch_size", [1, 4, 10, 64])
def test_rows_hold_the_maps_of_the_network_in_evaluation_mode(tmp_path, batch_size):
    network, images = make_network(), make_images()
    maps = kept(network, images, tmp_path, batch_size=batch_size)
    assert maps.shapes == [(4, 5, 5), (6, 3, 3)]
    assert maps.rows.dtype == torch.float16
    for got, expected in zip(StoredMaps(maps.shapes)(maps.rows), maps_by_hand(network, images), strict=True):
        torch.testing.assert_close(got, expected.float(), rtol=2e-3, atol=1e-4)


def test_the_network_is_left_as_it_was(tmp_path):
    network = make_network()
    network.net[1][1].eval()
    before = copy.deepcopy(network.state_dict())
    kept(network, make_images(), tmp_path)
    assert network.training
    assert not network.net[1][1].training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_second_time_nothing_is_computed(tmp_path):
    network, images = make_network(), make_images()
    first = kept(network, images, tmp_path)
    network.net[0].last = 0
    second = kept(network, images, tmp_path, batch_size=3)
    assert torch.equal(first.rows, second.rows)
    assert first.shapes == second.shapes


def test_an_interrupted_computation_goes_on_with_the_missing_batches(tmp_path):
    network, images = make_network(), make_images()
    breaks = network.net[0]
    breaks.last = 2  # the shapes, the first batch, and no further
    with pytest.raises(Interrupted):
        kept(network, images, tmp_path, batch_size=4)
    breaks.calls, breaks.last = [], None
    rows = kept(network, images, tmp_path, batch_size=4).rows
    assert breaks.calls == [4, 2]
    for got, expected in zip(rows, torch.cat([m.flatten(1) for m in maps_by_hand(network, images)], 1), strict=True):
        torch.testing.assert_close(got, expected, rtol=2e-3, atol=1e-4)


def change_weight(network, images):
    with torch.no_grad():
        network.net[2].bias[3] += 1e-3


def change_statistics(network, images):
    network.net[1][1].running_mean[0] += 1e-3


def change_pixel(network, images):
    images[7, 1, 2, 3] += 1e-3


def change_structure(network, images):
    network.net[1][2] = nn.Tanh()


@pytest.mark.parametrize("change", [change_weight, change_statistics, change_pixel, change_structure])
def test_another_network_or_another_image_is_computed_anew(tmp_path, change):
    network, images = make_network(), make_images()
    old = kept(network, images, tmp_path)
    change(network, images)
    network.net[0].calls.clear()
    new = kept(network, images, tmp_path)
    assert network.net[0].calls == [1, 10]
    assert new.shapes == old.shapes
    expected = torch.cat([maps.flatten(1) for maps in maps_by_hand(network, images)], 1)
    torch.testing.assert_close(new.rows, expected, rtol=2e-3, atol=1e-4)


def test_rows_are_mapped_and_writing_to_them_leaves_the_file(monkeypatch, tmp_path):
    network, images, modes, load = make_network(), make_images(), [], np.load
    monkeypatch.setattr(np, "load", lambda path, mmap_mode=None: modes.append(mmap_mode) or load(path, mmap_mode))
    rows = kept(network, images, tmp_path).rows
    before = rows.clone()
    rows.zero_()
    assert modes == ["r+", "c"]
    assert torch.equal(kept(network, images, tmp_path).rows, before)


def test_levels_on_stored_maps_are_those_of_the_network(tmp_path):
    network, images = make_network(), make_images()
    maps = kept(network, images, tmp_path)
    settings = {"levels": (0, -1), "local": (2, 2), "local_pool": "max"}
    G = MultiLevelBackbone(StoredMaps(maps.shapes), **settings)
    whole = MultiLevelBackbone(copy.deepcopy(network).eval(), **settings, input_size=11)
    for name, level in whole.levels(images).items():
        torch.testing.assert_close(G.levels(maps.rows)[name], level, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("shows_progress", [True, False])
def test_progress_is_shown_if_asked_for(tmp_path, capsys, shows_progress):
    frozen_maps(make_images(), make_network(), tmp_path, shows_progress=shows_progress)
    assert ("frozen maps: 100%" in capsys.readouterr().err) == shows_progress


def test_uint8_images_are_given_as_they_are(tmp_path):
    network = Counted(nn.Identity())
    network.forward = lambda x: [x.float() / 255]
    images = torch.randint(256, (4, 3, 5, 5), dtype=torch.uint8)
    rows = kept(network, images, tmp_path).rows
    torch.testing.assert_close(rows, (images.flatten(1) / 255).half())


@pytest.mark.parametrize(
    ("network", "images", "message"),
    [
        (nn.Identity(), make_images(), "the network must give a list of maps .*, got Tensor"),
        (NamedLayers(nn.Sequential(nn.Flatten()), ["0"]), make_images(), r"list of maps .*, got \[\(1, 363\)\]"),
        (NamedLayers(nn.Sequential(nn.Identity()), ["0"]), 1e6 * make_images(), "must be finite in float16"),
        (make_network(), make_images()[:0], r"images must have shape .*, got \(0, 3, 11, 11\)"),
        (make_network(), make_images()[0], r"images must have shape .*, got \(3, 11, 11\)"),
    ],
)
def test_bad_input_is_refused(tmp_path, network, images, message):
    with pytest.raises(ValueError, match=message):
        kept(network, images, tmp_path)
