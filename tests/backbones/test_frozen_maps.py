"""Some processes that want the maps of one network, in forks of this process.

Arguments: folder, number of processes, batch after which the first kills itself (0: none). Prints the exit statuses;
each notes how many images it computed in batches of its own.
"""

import copy
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dmsrl_adapt import MultiLevelBackbone, frozen_maps
from dmsrl_adapt.backbones import NamedLayers, StoredMaps
from dmsrl_adapt.backbones.kept_rows import kept_rows

from ..scripts import in_forks
from ..stand_ins import Counted

COUNT, BATCH, SIDE = 24, 8, 4  # the probe has 6 images at most


class Slow(nn.Module):
    """Takes its time for a batch, so that others come meanwhile, and counts the images in it."""

    def __init__(self, killed_after=0):
        super().__init__()
        self.sizes, self.killed_after = [], killed_after

    def forward(self, x):
        if len(x) == BATCH:
            time.sleep(0.1)
            self.sizes.append(len(x))
            if self.killed_after and len(self.sizes) > self.killed_after:
                os.kill(os.getpid(), signal.SIGKILL)
        return [2 * x]


def images_of_processes():
    return torch.randn(COUNT, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def work(folder, number, killed_after):
    torch.set_num_threads(1)
    network = Slow(killed_after if number == 0 else 0)
    maps = frozen_maps(images_of_processes(), network, folder / "maps", batch_size=BATCH, shows_progress=False)
    assert torch.equal(maps.rows, (2 * images_of_processes()).flatten(1).half())
    (folder / f"computed{number}").write_text(str(sum(network.sizes)))


PROBED = [1, 4]  # an image for the shapes, and some that show whether the file is of this network


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
    network.net[0].calls.clear()
    second = kept(network, images, tmp_path, batch_size=3)
    assert network.net[0].calls == PROBED
    assert torch.equal(first.rows, second.rows)
    assert first.shapes == second.shapes


def test_an_interrupted_computation_goes_on_with_the_missing_batches(tmp_path):
    network, images = make_network(), make_images()
    breaks = network.net[0]
    breaks.last = 3  # the shapes, the probe, the first batch, and no further
    with pytest.raises(Interrupted):
        kept(network, images, tmp_path, batch_size=4)
    breaks.calls, breaks.last = [], None
    rows = kept(network, images, tmp_path, batch_size=4).rows
    assert breaks.calls == [*PROBED, 4, 2]
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
    assert network.net[0].calls == [*PROBED, 10]
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
        (nn.Flatten(), make_images(), r"the network must return maps \(N, C, H, W\), got"),
        (NamedLayers(nn.Sequential(nn.Flatten()), ["0"]), make_images(), r"maps .*, got \[\(1, 363\)\]"),
        (NamedLayers(nn.Sequential(nn.Identity()), ["0"]), 1e6 * make_images(), "must be finite in float16"),
        (make_network(), make_images()[:0], r"images must have shape .*, got \(0, 3, 11, 11\)"),
        (make_network(), make_images()[0], r"images must have shape .*, got \(3, 11, 11\)"),
    ],
)
def test_bad_input_is_refused(tmp_path, network, images, message):
    with pytest.raises(ValueError, match=message):
        kept(network, images, tmp_path)


class Plain(nn.Module):
    """Computes by what is in neither its printed structure nor its state."""

    def __init__(self, **attributes):
        super().__init__()
        self.scale, self.limit, self.order, self.last = 1.0, 1e9, [0, 1, 2], 1.0
        self.function, self.is_flipped, self.noise = F.relu, False, 0.0
        self.register_buffer("mean", torch.zeros(3, 1, 1), persistent=False)
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x):
        x = x.flip(-1) if self.is_flipped else x
        x = ((x[:, self.order].float() - self.mean) / self.scale).clamp(max=self.limit)
        x = x * (1 + self.noise)
        return [100 * self.function(x), self.last * 1e-2 * x[:, :1]]


OTHERS = [
    {"scale": 255.0},
    {"scale": 1.01},
    {"limit": 2.9},
    {"order": [0, 2, 1]},
    {"function": F.gelu},
    {"function": torch.tanh},
    {"is_flipped": True},
    {"last": 1.01},  # of the smaller map alone
    {"mean": torch.full((3, 1, 1), 0.1)},
]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: next(iter(other)))
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_networks_that_look_alike_and_compute_something_else_have_files_of_their_own(tmp_path, other, dtype):
    images = torch.randn(40, 3, 5, 5, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)
    images[17, 0, 1, 2] = 3.0  # the only image that is this bright
    images = (images + 2).mul(40).byte() if dtype == torch.uint8 else images
    other = {"limit": 190} if dtype == torch.uint8 and "limit" in other else other
    networks = [Counted(Plain()), Counted(Plain(**other))]
    for _ in range(2):
        for network in networks:
            expected = torch.cat([maps.flatten(1) for maps in network(images)], 1).half()
            assert torch.equal(kept(network, images, tmp_path).rows, expected)
    assert len(list(tmp_path.glob("maps-*.npy"))) == 2
    counts = [network.count for network in networks]
    for network in networks:
        kept(network, images, tmp_path)
    # an image for the shapes, and the probe
    assert [network.count for network in networks] == [count + 2 for count in counts]


def test_a_file_of_another_network_that_is_not_filled_yet_is_not_gone_on_with(tmp_path):
    images = make_images(20)

    def breaks(x):
        if len(x) == 7:
            raise Interrupted
        return F.relu(x)

    with pytest.raises(Interrupted):
        kept(Plain(function=breaks), images, tmp_path, batch_size=7)
    for scale in (2.0, 1.0):
        rows = kept(Plain(scale=scale), images, tmp_path, batch_size=7).rows
        torch.testing.assert_close(
            rows[:, :3].float(), 100 * F.relu(images.flatten(1)[:, :3] / scale), rtol=1e-3, atol=0
        )
    assert len(list(tmp_path.glob("maps-*.npy"))) == 2


def test_rounding_of_another_device_makes_no_other_file(tmp_path):
    images = make_images(20)
    first = kept(Plain(), images, tmp_path)
    second = kept(Plain(noise=3e-6), images, tmp_path)
    assert torch.equal(first.rows, second.rows)
    assert len(list(tmp_path.glob("maps-*.npy"))) == 1


def test_a_network_whose_maps_do_not_fit_has_no_file_of_another(tmp_path):
    images = make_images(20)
    kept(Plain(), images, tmp_path)
    with pytest.raises(ValueError, match="must be finite in float16"):
        kept(Plain(scale=1e-6), images, tmp_path)
    assert len(list(tmp_path.glob("maps-*.npy"))) == 1


def test_where_a_function_lies_in_memory_does_not_count(tmp_path):
    class Told(Plain):
        def extra_repr(self):
            return f"function={self.function}"

    for _ in range(2):
        kept(Told(function=lambda x: 2 * x), make_images(), tmp_path)
    assert len(list(tmp_path.glob("maps-*.npy"))) == 1


class Noisy(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.dropout, self.norm = kind, nn.Dropout(0.5), nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, x):
        if self.kind == "dropout that stays on":
            x = F.dropout(x, 0.5, training=True)
        if self.kind == "noise":
            x = x + 0.01 * torch.randn_like(x)
        return [self.norm(x) if self.kind == "statistics of the batch" else self.dropout(x)]


@pytest.mark.parametrize("kind", ["dropout that stays on", "noise", "statistics of the batch"])
def test_a_network_that_changes_its_answer_is_refused_and_leaves_no_file(tmp_path, kind):
    with pytest.raises(ValueError, match="must be the same at every call and in every batch"):
        kept(Noisy(kind), make_images(20), tmp_path)
    assert not list(tmp_path.glob("*.npy")) and not list(tmp_path.glob("*.json"))


def test_a_network_in_training_mode_does_not_drop_out(tmp_path):
    network, images = Noisy("none").train(), make_images()
    assert torch.equal(kept(network, images, tmp_path).rows, images.flatten(1).half())
    assert network.dropout.training


def test_a_network_with_buffers_alone_is_run_where_they_are(tmp_path):
    network = nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.Flatten()).to("meta")
    with pytest.raises(ValueError, match="the network must return maps"):
        kept(network, make_images(), tmp_path)


def test_threads_compute_once(tmp_path):
    network, images, rows = Slow(), images_of_processes(), []

    def work():
        rows.append(frozen_maps(images, network, tmp_path, batch_size=BATCH, shows_progress=False).rows)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows) == 4 and all(torch.equal(one, (2 * images).flatten(1).half()) for one in rows)
    assert sum(network.sizes) == COUNT
    assert network.training


def computed(folder):
    return sum(int(path.read_text()) for path in folder.glob("computed*"))


def test_processes_compute_once(tmp_path, forks):
    assert forks.finish("-m", "tests.backbones.test_frozen_maps", str(tmp_path), "3", "0").split() == ["0", "0", "0"]
    assert computed(tmp_path) == COUNT


def test_a_process_that_is_killed_while_it_computes_blocks_nobody(tmp_path, forks):
    started = time.monotonic()
    statuses = forks.finish("-m", "tests.backbones.test_frozen_maps", str(tmp_path), "1", "2").split()
    assert statuses == [str(-signal.SIGKILL)]
    # the others go on after the batches that it has noted
    assert forks.finish("-m", "tests.backbones.test_frozen_maps", str(tmp_path), "2", "0").split() == ["0", "0"]
    assert computed(tmp_path) == COUNT - 2 * BATCH
    assert time.monotonic() - started < 60


def draw(part):
    return [part + torch.rand(part.shape)]


def test_random_numbers_start_from_the_seed_and_are_put_back(tmp_path):
    inputs = torch.arange(10.0)[:, None]
    torch.manual_seed(3)
    expected = torch.cat([draw(part)[0] for part in inputs.split(4)])
    torch.manual_seed(5)
    state = torch.get_rng_state()
    rows = kept_rows(tmp_path / "rows", inputs, draw, batch_size=4, seed=3, disable=True)
    assert torch.equal(rows, expected)
    assert torch.equal(torch.get_rng_state(), state)
    again = kept_rows(tmp_path / "rows", inputs, draw, batch_size=4, seed=3, disable=True)
    assert torch.equal(again, expected)
    assert torch.equal(torch.get_rng_state(), state)
    other = kept_rows(tmp_path / "rows", inputs, draw, batch_size=4, seed=4, disable=True)
    assert not torch.equal(other, expected)


def test_random_numbers_start_anew_after_an_interruption(tmp_path):
    inputs, calls = torch.arange(10.0)[:, None], []

    def breaks(part):
        calls.append(len(part))
        if len(calls) == 3:
            raise Interrupted
        return draw(part)

    with pytest.raises(Interrupted):
        kept_rows(tmp_path / "rows", inputs, breaks, batch_size=4, seed=3, disable=True)
    rows = kept_rows(tmp_path / "rows", inputs, breaks, batch_size=4, seed=3, disable=True)
    torch.manual_seed(3)
    assert torch.equal(rows, torch.cat([draw(part)[0] for part in inputs.split(4)]))
    assert calls == [4, 4, 4, 4, 4, 4, 2]
    assert Path(tmp_path / "rows.npy").is_file()


if __name__ == "__main__":
    FOLDER, PROCESSES, KILLED_AFTER = Path(sys.argv[1]), *map(int, sys.argv[2:])
    print(*in_forks(work, [(FOLDER, number, KILLED_AFTER) for number in range(PROCESSES)]))
