"""DMSRL with SyncBatchNorm in one and in two processes, on a GPU that both share; on the CPU PyTorch has none.

Argument: folder. Writes the states at the end, or what is raised.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .ddp_process import batches, make_adapter
from .scripts import in_forks


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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
