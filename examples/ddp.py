"""DMSRL in several processes, with Ignite's `idist` and DistributedDataParallel; each process has a part of the data.

    pip install 'dmsrl-adapt[ignite]' scikit-learn
    torchrun --standalone --nproc_per_node 2 examples/ddp.py [epochs]

Source: handwritten digits of scikit-learn. Target: other digits, black on grey with noise, without labels.
"""

import os
import sys

import ignite.distributed as idist
import torch
from pytorch_adapt.containers import Misc, Models
from pytorch_adapt.datasets import CombinedSourceAndTargetDataset, SourceDataset, TargetDataset
from pytorch_adapt.frameworks.ignite import Ignite
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from dmsrl_adapt import DMSRL, MultiLevelBackbone, dmsrl_components

BATCH_SIZE = 64  # of all processes together


def main(local_rank: int, epochs: int) -> None:
    torch.manual_seed(0)  # the same networks and the same noise in every process
    digits, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    images = torch.nn.functional.interpolate(digits.float().view(-1, 1, 8, 8) / 8 - 1, size=32, mode="bilinear")
    noisy = 0.3 - 0.7 * images + 0.2 * torch.randn_like(images)
    source, target = TensorDataset(images[:900], labels[:900]), TensorDataset(noisy[900:], labels[900:])
    G = MultiLevelBackbone("resnet10t", in_chans=1, local=None)
    parts = dmsrl_components(G.feature_dim, 10, num_target=len(target))
    adapter = DMSRL(
        models=Models({"G": G, "C": torch.nn.Linear(G.feature_dim, 10), **parts.models}), misc=Misc(parts.misc)
    )
    trainer = Ignite(adapter, auto_dist=False, with_pbars=False)
    # wraps models and optimizers if there are several processes; torch 2.7 must not broadcast the buffers of batch norm
    # between the two calls of G in a step
    trainer.dist_init(broadcast_buffers=False)
    # augmentation and dropout differ between processes
    torch.manual_seed(1 + idist.get_rank())

    both = CombinedSourceAndTargetDataset(SourceDataset(source), TargetDataset(target))
    # every process has the same number of batches; the source samples are drawn at random in each
    sampler = DistributedSampler(both, idist.get_world_size(), idist.get_rank(), drop_last=True)
    loader = DataLoader(both, BATCH_SIZE // idist.get_world_size(), sampler=sampler, drop_last=True)
    trainer.run(dataloaders={"train": loader}, max_epochs=epochs)

    adapter.models.eval()
    with torch.no_grad():
        # each process passes over its part of the target; every process then has the labels of all samples
        batches = torch.arange(len(target)).split(64)[idist.get_rank() :: idist.get_world_size()]
        device = idist.device()
        passed = ((adapter.inference(noisy[900 + rows].to(device))["features"], rows.to(device)) for rows in batches)
        diagnostics = adapter.misc["pseudo_labeler"].relabel(passed)
        predicted = adapter.inference(target.tensors[0].to(device))["logits"].argmax(1).cpu()
    if idist.get_rank() == 0:
        # labels of the target are used for scoring only
        accuracy = (predicted == target.tensors[1]).float().mean()
        kept = diagnostics["fraction_kept"]
        print(f"{idist.get_world_size()} processes: target accuracy {accuracy:.3f}, {kept:.3f} labelled")


if __name__ == "__main__":
    gpus = "nccl" if torch.cuda.is_available() else "gloo"
    with idist.Parallel(backend=gpus if "WORLD_SIZE" in os.environ else None) as parallel:
        parallel.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 5)
