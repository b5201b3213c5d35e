"""Data sets of network inputs, which loaders read in worker processes or from memory."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..data import Samples
from .preprocessing import Preprocessing

Augment = Callable[[Tensor], Tensor]
Draw = tuple[int, int]  # an index and the seed of what is random about it
NO_LABEL = -1


class ReadInputs(Dataset[dict[str, Any]]):
    """Prepared inputs of samples, read when they are indexed by a `Draw`; in place of an unreadable image the next.

    An item has `inputs` as `Preprocessing.prepare` returns it, `label`, `row`, and with `augment` its result
    `augmented`.

    Args:
        samples: with or without labels.
        preprocessing: of the network.
        augment: from a prepared input to another of the same shape and dtype, drawn by torch's generator; or None.
    """

    def __init__(self, samples: Samples, preprocessing: Preprocessing, augment: Augment | None = None) -> None:
        self.samples, self.preprocessing, self.augment = samples, preprocessing, augment

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        place, sample = self.samples.near(draw[0])
        inputs = self.preprocessing.prepare(sample, self.samples.names[place])
        label = NO_LABEL if self.samples.labels is None else int(self.samples.labels[place])
        item: dict[str, Any] = {"inputs": inputs, "label": label, "row": place}
        if self.augment is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(draw[1])
                item["augmented"] = self.augment(inputs)
            if item["augmented"].shape != inputs.shape or item["augmented"].dtype != inputs.dtype:
                wanted, came = (f"{one.dtype} of {tuple(one.shape)}" for one in (inputs, item["augmented"]))
                raise ValueError(f"augment must return {wanted}, got {came}")
        return item


class KeptInputs(Dataset[dict[str, Any]]):
    """Feature vectors in memory, with those of augmented copies.

    Args:
        features: shape (N, D).
        augmented: shape (N, copies, D), or None.
        labels: int64 (N,), or None.
    """

    def __init__(self, features: Tensor, augmented: Tensor | None, labels: Tensor | None) -> None:
        self.features, self.augmented, self.labels = features, augmented, labels

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        row, seed = draw
        label = NO_LABEL if self.labels is None else int(self.labels[row])
        item: dict[str, Any] = {"inputs": self.features[row].float(), "label": label, "row": row}
        if self.augmented is not None:
            item["augmented"] = self.augmented[row, seed % self.augmented.shape[1]].float()
        return item


class ReadableInputs(Dataset[tuple[int, Tensor | None]]):
    """Prepared inputs of samples with their indices; None in place of an unreadable image.

    Args:
        samples: with or without labels.
        preprocessing: of the network.
    """

    def __init__(self, samples: Samples, preprocessing: Preprocessing) -> None:
        self.samples, self.preprocessing = samples, preprocessing

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> tuple[int, Tensor | None]:
        sample = self.samples.get(row)
        return row, None if sample is None else self.preprocessing.prepare(sample, self.samples.names[row])


def readable(
    samples: Samples, preprocessing: Preprocessing, batch_size: int, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields indices, int64 (n,), and prepared inputs, in order, without those that cannot be read.

    Args:
        samples: with or without labels.
        preprocessing: of the network.
        batch_size: most inputs at a time.
        workers: processes that read.
    """
    inputs = ReadableInputs(samples, preprocessing)
    for batch in DataLoader(inputs, batch_size, num_workers=workers, collate_fn=list):
        there = [(row, one) for row, one in batch if one is not None]
        if there:
            rows, found = zip(*there, strict=True)
            yield torch.tensor(rows), torch.stack(found)
