"""Some processes that want the maps of one network, in forks of this process.

Arguments: folder, number of processes, batch after which the first kills itself (0: none). Prints the exit statuses;
each notes how many images it computed in batches of its own.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

from dmsrl_adapt import frozen_maps

from ..scripts import in_forks

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


def make_images():
    return torch.randn(COUNT, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def work(folder, number, killed_after):
    torch.set_num_threads(1)
    network = Slow(killed_after if number == 0 else 0)
    maps = frozen_maps(make_images(), network, folder / "maps", batch_size=BATCH, shows_progress=False)
    assert torch.equal(maps.rows, (2 * make_images()).flatten(1).half())
    (folder / f"computed{number}").write_text(str(sum(network.sizes)))


if __name__ == "__main__":
    FOLDER, PROCESSES, KILLED_AFTER = Path(sys.argv[1]), *map(int, sys.argv[2:])
    print(*in_forks(work, [(FOLDER, number, KILLED_AFTER) for number in range(PROCESSES)]))
