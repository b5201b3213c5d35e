"""Some steps of a labeller in forks of this process: several that share the samples, or one that is killed.

Arguments: folder, number of processes, step after which to be killed (0: none). Prints the exit status of each.
"""

import copy
import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from dmsrl_adapt.labelers import PrototypeLabeler

from ..scripts import in_forks

CLASSES, DIM, NUM_TARGET, SIZE = 3, 6, 60, 24
STEPS, PASS_AFTER = 5, 2


def samples(seed):
    """Features around six axes, two of them a class, labels, weights and places in the data set."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.arange(SIZE) % DIM
    features = torch.eye(DIM)[axis] + 0.1 * torch.randn(SIZE, DIM, generator=generator)
    weights = torch.rand(SIZE, generator=generator)
    return features, axis // 2, weights, torch.randperm(NUM_TARGET, generator=generator)[:SIZE]


def share(columns, number, processes):
    """This process's part of the samples: of unequal size, the second one's is empty now and then."""
    rows = torch.arange(SIZE) % (processes + 1)
    mine = (rows == number) | ((rows == processes) & (number == 0))
    return [column[mine] for column in columns]


def counted(exchanged, collective):
    """A collective that notes how many numbers it is given."""

    def wrapper(*args, **kwargs):
        tensor = next(arg for arg in reversed(args) if isinstance(arg, torch.Tensor))
        exchanged.append(tensor.numel())
        return collective(*args, **kwargs)

    return wrapper


def batch(step, number=0, processes=1):
    """This process's share of a step: source and target, and what a classifier says of the target."""
    source, target = (share(samples(2 * step + domain), number, processes) for domain in (0, 1))
    probs = target[0] @ torch.randn(DIM, CLASSES, generator=torch.Generator().manual_seed(step))
    return source, target, probs


def train(per_class, number=0, processes=1, checkpoint=None, killed_after=0):
    """Returns a labeller after every step; goes on from the checkpoint where there is one."""
    labeler, start = PrototypeLabeler(CLASSES, DIM, NUM_TARGET, prototypes_per_class=per_class, momentum=0.7), 0
    if checkpoint and checkpoint.exists():
        start, state = torch.load(checkpoint)
        labeler.load_state_dict(state)
    for step in range(start, STEPS):
        source, target, probs = batch(step, number, processes)
        if step == 0:
            labeler.fit(*source[:3])
        labels, trust, _ = labeler(target[0], target[3], probs)
        labeler.update(*source[:3])
        labeler.update(target[0], labels, trust)
        if step == PASS_AFTER:
            labeler.relabel([(target[0], target[3], probs)])
        if checkpoint:
            torch.save((step + 1, labeler.state_dict()), checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
        if step + 1 == killed_after:
            os.kill(os.getpid(), signal.SIGKILL)
        yield copy.deepcopy(labeler)


def work(folder, number, processes, killed_after):
    torch.set_num_threads(1)
    exchanged = []
    if processes > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=number, world_size=processes)
        for name in ("all_reduce", "all_gather"):
            setattr(dist, name, counted(exchanged, getattr(dist, name)))
    for per_class in (1, 2):
        checkpoint = None if processes > 1 else folder / f"checkpoint{per_class}.pt"
        labelers = list(train(per_class, number, processes, checkpoint, killed_after))
        torch.save([labeler.state_dict() for labeler in labelers], folder / f"states{per_class}-{number}.pt")
    torch.save(exchanged, folder / f"exchanged{number}.pt")
    if processes > 1:
        dist.destroy_process_group()  # gloo's threads may abort a process that ends without


def main(folder, processes, killed_after):
    print(*in_forks(work, [(folder, number, processes, killed_after) for number in range(processes)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
