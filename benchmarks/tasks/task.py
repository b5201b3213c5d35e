"""What a task is: a labelled source, an unlabelled target, and parts of the target kept for scoring."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


class DataError(ValueError):
    """Data that is missing or not as it should be; the message says what to do."""


@dataclass(frozen=True)
class Split:
    """Samples held in memory.

    inputs: images, uint8 (N, C, H, W), or feature vectors, float32 (N, D), or maps in rows, float16 (N, D).
    labels: int64 (N,), 0..K-1, or None where nobody knows them.
    augmented: inputs in other styles, some of each, float16 (N, copies, D); None where a method can make them itself,
        from images, or nobody has made them.
    """

    inputs: Tensor
    labels: Tensor | None
    augmented: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def known_labels(self) -> Tensor:
        """The labels. Raises `DataError` where nobody knows them."""
        if self.labels is None:
            raise DataError("this method needs labels that the data does not have")
        return self.labels

    def take(self, rows: Tensor) -> "Split":
        """Returns the samples at `rows`, int64 or bool."""
        parts = (None if part is None else part[rows] for part in (self.labels, self.augmented))
        return Split(self.inputs[rows], *parts)


@dataclass(frozen=True)
class Task:
    """A source and a target domain. Labels of the target's training part serve the supervised ceiling and scoring only.

    target_validation chooses settings, target_test scores; no sample is in two parts. map_shapes: (C, H, W) of the maps
    that an input holds in a row, none where it is something else.
    """

    name: str
    classes: tuple[str, ...]
    source: Split
    target_train: Split
    target_validation: Split
    target_test: Split
    metric: str = "accuracy"
    licence: str = "unknown"
    map_shapes: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Need:
    """A file or folder that tasks are made of.

    name: below the folder of data sets.
    how: where it comes from, and what it has to look like.
    count: gives the number of samples of each class from its path; raises `DataError` where it is not as it should be.
    """

    name: str
    how: str
    count: Callable[[Path], Mapping[str, int]]


@dataclass(frozen=True)
class DataPlace:
    """Where data sets are looked for.

    folder: holds the .npz files; None where none was named.
    download: fetch what the folder lacks, where the owner offers a download.
    """

    folder: Path | None = None
    download: bool = False

    def file(self, name: str, how: str) -> Path:
        """Returns the path of what is in the folder. Raises `DataError` saying how to get it where it is not there."""
        path = None if self.folder is None else self.folder / name
        if path is None or not path.exists():
            looked = "no folder was named" if path is None else f"it is not in {self.folder}"
            raise DataError(f"{name} is needed, {looked}; use --data-dir or set DMSRL_ADAPT_DATA. {how}")
        return path


@dataclass(frozen=True)
class Shares:
    """How a target with one pool of samples is cut into parts."""

    train: float = 0.5
    validation: float = 0.2

    def cut(self, pool: Split) -> tuple[Split, Split, Split]:
        """Returns train, validation and test parts of a shuffled pool, the same at every call."""
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(0))
        first, second = round(len(pool) * self.train), round(len(pool) * (self.train + self.validation))
        return pool.take(order[:first]), pool.take(order[first:second]), pool.take(order[second:])
