"""Tasks: a labelled source, an unlabelled target, and parts of the target for scoring."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dmsrl_adapt.data import DataError


@dataclass(frozen=True)
class Split:
    """Samples in memory.

    inputs: images, uint8 (N, C, H, W), feature vectors, float32 (N, D), signals, float32 (N, C, T), or flattened
        feature maps, float16 (N, D).
    labels: int64 (N,), 0..K-1, or None if unknown.
    augmented: features of augmented copies of each sample, float16 (N, copies, D), or None. Images need none, because
        methods augment them during training.
    """

    inputs: Tensor
    labels: Tensor | None
    augmented: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def known_labels(self) -> Tensor:
        """The labels. Raises `DataError` if they are unknown."""
        if self.labels is None:
            raise DataError("this method needs labels that the data does not have")
        return self.labels

    def take(self, rows: Tensor) -> "Split":
        """Returns the samples at `rows`, int64 or bool."""
        parts = (None if part is None else part[rows] for part in (self.labels, self.augmented))
        return Split(self.inputs[rows], *parts)


@dataclass(frozen=True)
class Task:
    """A source and a target domain.

    Labels of the target's training part are for the supervised upper bound and for scoring only. No sample is in two
    parts.

    target_validation: for choosing settings.
    target_test: for scoring.
    map_shapes: (C, H, W) of the feature maps in an input, empty for other inputs.
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
    """A file or folder that a task needs.

    name: path below the folder of data sets.
    how: where to get it, and its format.
    count: returns the number of samples of each class from its path; raises `DataError` if it is invalid.
    """

    name: str
    how: str
    count: Callable[[Path], Mapping[str, int]]


@dataclass(frozen=True)
class DataPlace:
    """Location of the data sets.

    folder: folder of data sets, or None.
    download: whether to download missing data sets whose owners offer a download.
    """

    folder: Path | None = None
    download: bool = False

    def file(self, name: str, how: str) -> Path:
        """Returns the path of a file in the folder. Raises `DataError`, which says how to get it, if it is missing."""
        path = None if self.folder is None else self.folder / name
        if path is None or not path.exists():
            reason = "no folder was named" if path is None else f"it is not in {self.folder}"
            raise DataError(f"{name} is needed, {reason}; use --data-dir or set DMSRL_ADAPT_DATA. {how}")
        return path


@dataclass(frozen=True)
class Fractions:
    """Fractions of a target for training and validation; the rest is for scoring."""

    train: float = 0.5
    validation: float = 0.2

    def cut(self, pool: Split) -> tuple[Split, Split, Split]:
        """Returns train, validation and test parts of a shuffled pool; the same at every call."""
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(0))
        first, second = round(len(pool) * self.train), round(len(pool) * (self.train + self.validation))
        return pool.take(order[:first]), pool.take(order[first:second]), pool.take(order[second:])
