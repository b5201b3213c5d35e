"""Minimum class confusion with several weighters in forks of this process that share the samples.

Arguments: folder, sizes of the processes' shares. Writes losses and gradients of each process.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from pytorch_adapt.layers import EntropyWeights
from pytorch_adapt.layers.normalizers import MaxNormalizer, MinMaxNormalizer, NoNormalizer

from dmsrl_adapt.losses import MinimumClassConfusionLoss

from ..scripts import in_forks


class Rows:
    """Weighs samples by their place in the batch, and takes no batch without any."""

    def __call__(self, probs):
        assert len(probs) > 0 and not probs.requires_grad
        return torch.arange(1.0, len(probs) + 1)[:, None]


WEIGHTERS = {
    "none": None,
    "first class": lambda probs: probs[:, 0],
    "largest in the batch": EntropyWeights(after_softmax=True, normalizer=MaxNormalizer()),
    "range of the batch": EntropyWeights(after_softmax=True, normalizer=MinMaxNormalizer()),
    "not normalised": EntropyWeights(after_softmax=True, normalizer=NoNormalizer()),
    "of what takes logits": EntropyWeights(),
    "rows": Rows(),
    "no weight": lambda probs: torch.zeros(len(probs)),
    "set later": EntropyWeights(normalizer=MaxNormalizer()),
}


def results(logits, mine=slice(None)):
    """Loss and gradient of this process's share, by the name of the weighter."""
    found = {}
    for name, weighter in WEIGHTERS.items():
        share = logits[mine].clone().requires_grad_()
        loss_fn = MinimumClassConfusionLoss(T=2.0, entropy_weighter=None if name == "set later" else weighter)
        if name == "set later":
            loss_fn.entropy_weighter = weighter
        loss = loss_fn(share)
        found[name] = loss.detach(), torch.autograd.grad(loss, share)[0]
    return found


def make_logits(count):
    return 3 * torch.randn(count, 4, generator=torch.Generator().manual_seed(0))


def work(folder, number, sizes):
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=number, world_size=len(sizes))
    start = sum(sizes[:number])
    found = results(make_logits(sum(sizes)), slice(start, start + sizes[number]))
    torch.save(found, folder / f"result{number}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    SIZES = [int(size) for size in sys.argv[2:]]
    print(*in_forks(work, [(Path(sys.argv[1]), number, SIZES) for number in range(len(SIZES))]))
