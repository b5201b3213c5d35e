"""Batch statistics over all processes: what PyTorch makes of our modules, and what it does not do on the CPU."""

import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from dmsrl_adapt import MultiLevelBackbone

from .scripts import in_forks
from .test_ddp import batches, make_adapter


def train(adapter, number=0, processes=1, device="cpu"):
    """Returns the losses of every step."""
    return [
        adapter.training_step({key: value.to(device) for key, value in batch.items()})["total_loss"]
        for batch in batches(number, processes)
    ]


def work(folder, number, processes):
    torch.set_num_threads(1)
    store, device = f"file://{folder / 'store'}", "cuda" if torch.cuda.is_available() else "cpu"
    dist.init_process_group("gloo", init_method=store, rank=number, world_size=processes)
    adapter = make_adapter(nn.BatchNorm1d)
    try:
        for key, model in adapter.models.items():
            adapter.models[key] = DistributedDataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(model.to(device)))
        for module in adapter.misc.values():
            module.to(device)
        train(adapter, number, processes, device)
        result = {key: model.module.cpu().state_dict() for key, model in adapter.models.items()}
    except ValueError as error:
        result = str(error)
    torch.save(result, folder / f"{processes}-{number}.pt")


def main(folder):
    for processes in (1, 2):
        in_forks(work, [(folder, number, processes) for number in range(processes)])
        (folder / "store").unlink(missing_ok=True)


convert = nn.SyncBatchNorm.convert_sync_batchnorm


def test_converted_backbone_has_the_same_state_and_gives_the_same():
    G = MultiLevelBackbone("resnet10t", in_chans=1, input_size=32, local="corners").eval()
    state, images = {name: value.clone() for name, value in G.state_dict().items()}, torch.randn(3, 1, 32, 32)
    wanted, converted = G(images), convert(G)
    assert any(isinstance(module, nn.SyncBatchNorm) for module in converted.modules())
    assert not any(isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) for module in converted.modules())
    assert converted.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in converted.state_dict().items())
    torch.testing.assert_close(converted(images), wanted)


def test_converted_models_train_in_one_process_as_they_did():
    usual, converted = make_adapter(nn.BatchNorm1d), make_adapter(nn.BatchNorm1d)
    for key, model in converted.models.items():
        converted.models[key] = convert(model)
    assert isinstance(converted.models["G"][2], nn.SyncBatchNorm)
    losses = []
    for adapter in (converted, usual):
        torch.manual_seed(0)  # which images are augmented
        losses.append(train(adapter))
    for mine, wanted in zip(*losses, strict=True):
        assert mine == pytest.approx(wanted, rel=1e-5)


@pytest.fixture
def results(tmp_path, forks):
    """What one process ends in, and each of two."""
    forks.finish("-m", "tests.test_sync_batch_norm", str(tmp_path))
    return [torch.load(tmp_path / f"{name}.pt") for name in ("1-0", "2-0", "2-1")]


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU there is no error")
def test_several_processes_on_the_cpu_are_refused_by_pytorch(results):
    assert results == ["SyncBatchNorm layers only work with GPU modules"] * 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch has SyncBatchNorm in several processes on GPUs only")
def test_two_processes_on_a_gpu_end_as_one(results):
    one, *both = results
    for key, state in one.items():
        for name, value in state.items():
            assert torch.equal(both[0][key][name], both[1][key][name])
            torch.testing.assert_close(both[0][key][name], value, rtol=1e-4, atol=1e-5, msg=f"{key}.{name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
