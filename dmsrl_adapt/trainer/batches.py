"""Training batches: the same for the same seed, from any step on."""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .. import keys
from .inputs import Draw

MOST_WORKERS = 8


def row_batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yields shuffled batches of row numbers, pass after pass without end; incomplete batches are dropped."""
    size = min(batch_size, count)
    while True:
        yield from torch.randperm(count, generator=generator)[: count // size * size].split(size)


class DrawnBatches:
    """Batches of draws for a `DataLoader`, from step `done` on, without end.

    Args:
        count: number of samples.
        batch_size: of one process.
        seed: of the order, and of what is random about a sample.
        done: batches that an earlier run has had.
        rank, processes: this process gets its share of each batch of all processes.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int, done: int = 0, rank: int = 0, processes: int = 1
    ) -> None:
        self.count, self.batch_size, self.seed, self.done = count, batch_size, seed, done
        self.rank, self.processes = rank, processes

    def __iter__(self) -> Iterator[list[Draw]]:
        generator = torch.Generator().manual_seed(self.seed)
        whole = row_batches(self.count, self.batch_size * self.processes, generator)
        for step, rows in enumerate(islice(whole, self.done, None), start=self.done):
            share = rows[self.rank :: self.processes][: len(rows) // self.processes].tolist()
            yield [(row, hash((self.seed, step, row)) % 2**31) for row in share]


def default_workers() -> int:
    """Returns the number of worker processes that read images: one for each core but one, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores - 1, MOST_WORKERS)


def loader(inputs: Dataset[Any], draws: Any, workers: int = 0, pin_memory: bool = False) -> DataLoader[Any]:
    """Returns a loader of batches of draws."""
    # a generator of its own, so that loading changes nothing of what training draws
    generator = torch.Generator().manual_seed(0)
    return DataLoader(inputs, batch_sampler=draws, num_workers=workers, pin_memory=pin_memory, generator=generator)


def in_order(rows: Sequence[int], batch_size: int) -> list[list[Draw]]:
    """Returns batches of draws of these rows, one after another."""
    return [[(row, row) for row in rows[start : start + batch_size]] for start in range(0, len(rows), batch_size)]


def training_batches(
    source: Iterator[dict[str, Tensor]], target: Iterator[dict[str, Tensor]], to_inputs: Callable[[Tensor], Tensor]
) -> Iterator[dict[str, Tensor]]:
    """Yields batches with upstream's keys.

    Args:
        source: labelled batches of a loader.
        target: batches whose labels are left out.
        to_inputs: from inputs of a loader to those of G, on its device.
    """
    for of_source, of_target in zip(source, target, strict=False):
        batch = {
            keys.SRC_LABELS: of_source["label"],
            keys.domain_id(keys.SRC): torch.zeros(len(of_source["row"])),
            "src_sample_idx": of_source["row"],
            keys.domain_id(keys.TARGET): torch.ones(len(of_target["row"])),
            keys.TARGET_SAMPLE_IDX: of_target["row"],
        }
        for domain, part in ((keys.SRC, of_source), (keys.TARGET, of_target)):
            batch[keys.imgs(domain)] = to_inputs(part["inputs"])
            if "augmented" in part:
                batch[keys.augmented(domain)] = to_inputs(part["augmented"])
        yield batch
