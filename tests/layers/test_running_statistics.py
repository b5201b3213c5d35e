import copy
from pathlib import Path

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from dmsrl_adapt.layers import kept_running_statistics

from ..stand_ins import assert_same_states, states

LAYERS = {
    "1d": nn.BatchNorm1d(3),
    "1d, plain average": nn.BatchNorm1d(3, momentum=None),
    "2d": nn.BatchNorm2d(3),
    "3d": nn.BatchNorm3d(3),
    "synchronised": nn.SyncBatchNorm(3),
    "timm's": BatchNormAct2d(3),
    "instances": nn.InstanceNorm2d(3, track_running_stats=True),
    "without statistics": nn.BatchNorm2d(3, track_running_stats=False),
    "of instances, without statistics": nn.InstanceNorm2d(3),
    "no normalisation": nn.Conv2d(3, 3, 1),
}
SHAPES = {"1d": (8, 3), "1d, plain average": (8, 3), "3d": (8, 3, 2, 2, 2)}


def images(name, seed):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(SHAPES.get(name, (8, 3, 4, 4)), generator=generator) + 2


@pytest.fixture(params=LAYERS)
def name(request):
    return request.param


@pytest.fixture
def layer(name):
    layer = copy.deepcopy(LAYERS[name])
    layer(images(name, 0))
    return layer


def test_output_and_gradient_are_the_usual_and_statistics_stay(name, layer):
    usual, before = copy.deepcopy(layer), states({"layer": layer})
    found = []
    for one, is_kept in ((layer, True), (usual, False)):
        batch = images(name, 1).requires_grad_()
        if is_kept:
            with kept_running_statistics(nn.Sequential(one)):
                out = one(batch)
        else:
            out = one(batch)
        out.square().sum().backward()
        found.append((out, batch.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert_same_states(states({"layer": layer}), before)


def test_afterwards_it_is_what_it_was(name, layer):
    usual = copy.deepcopy(layer)
    with kept_running_statistics(layer):
        layer(images(name, 1))
    for one in (layer, usual):
        one(images(name, 2))
    assert_same_states(states({"layer": layer}), states({"layer": usual}))
    assert (repr(layer), layer.training) == (repr(usual), usual.training)


def test_in_evaluation_mode_statistics_are_used(name, layer):
    layer.eval()
    expected, before = layer(images(name, 1)), states({"layer": layer})
    with kept_running_statistics(layer):
        assert torch.equal(layer(images(name, 1)), expected)
    assert_same_states(states({"layer": layer}), before)


def test_an_error_inside_restores_it(name, layer):
    usual = copy.deepcopy(layer)
    with pytest.raises(RuntimeError, match="of G"), kept_running_statistics(layer):
        raise RuntimeError("of G")
    for one in (layer, usual):
        one(images(name, 1))
    assert_same_states(states({"layer": layer}), states({"layer": usual}))


def test_one_inside_the_other():
    layer = nn.BatchNorm1d(3)
    with kept_running_statistics(layer):
        with kept_running_statistics(layer):
            layer(images("1d", 0))
        layer(images("1d", 0))
    assert torch.equal(layer.running_mean, torch.zeros(3))
    layer(images("1d", 0))
    assert layer.num_batches_tracked == 1


def test_of_a_network_only_what_is_in_training_mode_is_touched():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    net[1].eval()
    with kept_running_statistics(net):
        assert [part.track_running_stats for part in net] == [False, True]
    assert [part.training for part in net] == [True, False]


def test_inside_the_wrapper_of_distributed_training(tmp_path: Path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        wrapped = nn.parallel.DistributedDataParallel(net)
        before = states({"norm": net[1]})
        with kept_running_statistics(wrapped):
            wrapped(images("1d", 0)).sum().backward()
        assert_same_states(states({"norm": net[1]}), before)
        wrapped(images("1d", 0))
        assert net[1].num_batches_tracked == 1
    finally:
        torch.distributed.destroy_process_group()
