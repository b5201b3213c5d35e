"""Predictions for a data set: a table, and a contact sheet of the most and the least certain images."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data import DataError, Samples
from .contact_sheet import draw_sheet

COLUMNS = ("file", "label", "confidence")


class Predictions:
    """Predicted labels of samples: a table with the columns `file`, `label` and `confidence`.

    `len`, iteration over rows as dicts, and `predictions["label"]` for a column as a list. `left_out` has the names and
    reasons of images that could not be read; they have no row.

    Args:
        samples: the data.
        classes: names of the classes.
    """

    def __init__(self, samples: Samples, classes: tuple[str, ...]) -> None:
        self.samples, self.classes = samples, classes
        self.parts: list[tuple[Tensor, Tensor, Tensor]] = []  # indices, numbers of the classes, confidences

    def add(self, places: Tensor, numbers: Tensor, probs: Tensor) -> None:
        """Adds samples.

        Args:
            places: their indices, int64 (n,).
            numbers: of their predicted classes, int64 (n,).
            probs: class probabilities, shape (n, K).
        """
        self.parts.append((places, numbers, probs.gather(1, numbers[:, None])[:, 0]))

    def _joined(self, column: int) -> Tensor:
        return torch.cat([part[column] for part in self.parts]) if self.parts else torch.zeros(0)

    @property
    def places(self) -> Tensor:
        """Indices of the samples with a row, int64 (N,)."""
        return self._joined(0).long()

    @property
    def numbers(self) -> Tensor:
        """Numbers of the predicted classes, int64 (N,)."""
        return self._joined(1).long()

    @property
    def confidence(self) -> Tensor:
        """Probability that the label is right, as far as can be told without labels; float32 (N,), 0..1."""
        return self._joined(2).float()

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """Name and reason of each file without a row."""
        return self.samples.left_out

    @property
    def accuracy(self) -> float | None:
        """Fraction of right labels, 0..1, of samples with labels that are numbered like the classes; else None."""
        labels = self.samples.labels
        return None if labels is None else float((labels[self.places] == self.numbers).float().mean())

    def __len__(self) -> int:
        return sum(len(part[0]) for part in self.parts)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for place, number, confidence in zip(*(self._joined(column).tolist() for column in range(3)), strict=True):
            row = (self.samples.names[int(place)], self.classes[int(number)], confidence)
            yield dict(zip(COLUMNS, row, strict=True))

    def __getitem__(self, column: str) -> list[Any]:
        if column not in COLUMNS:
            raise KeyError(f"a column must be one of {COLUMNS}, got {column!r}")
        return [row[column] for row in self]

    def __repr__(self) -> str:
        counts = ", ".join(f"{label} {count}" for label, count in self.counts.most_common(10))
        return f"Predictions of {len(self)} samples: {counts}"

    @property
    def counts(self) -> "Counter[str]":
        """Number of samples by predicted class."""
        return Counter(self.classes[number] for number in self.numbers.tolist())

    def to_pandas(self) -> Any:
        """Returns the table as a pandas data frame. Raises `ImportError` without pandas."""
        from pandas import DataFrame

        return DataFrame({column: self[column] for column in COLUMNS})

    def write(self, table: Path) -> list[Path]:
        """Writes the table, `.csv` or `.parquet`, and of images the contact sheet; returns the paths.

        Raises:
            ImportError: Parquet without pyarrow.
            OSError: a file cannot be written.
        """
        table.parent.mkdir(parents=True, exist_ok=True)
        (self._write_parquet if table.suffix == ".parquet" else self._write_csv)(table)
        if self.samples.kind != "image" or not len(self):
            return [table]
        return [table, draw_sheet(self, sheet_path(table))]

    def _write_csv(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row in self:
                writer.writerow([row["file"], row["label"], f"{row['confidence']:.4f}"])

    def _write_parquet(self, path: Path) -> None:
        try:
            from pyarrow import parquet, table
        except ImportError as error:
            raise ImportError(
                f"a .parquet table needs pyarrow: pip install 'dmsrl-adapt[parquet]' ({error})"
            ) from error
        parquet.write_table(table({column: self[column] for column in COLUMNS}), path)

    def check_out(self, table: Path, data: Any = None) -> None:
        """Raises `DataError` if the table or the sheet would replace a file of the data.

        Args:
            table: path of the table.
            data: the folder or file that is read, if it is one.
        """
        if not isinstance(data, (str, Path)):
            return
        root = Path(data)
        names = self.samples.names
        files = {(root / names[place]).resolve() for place in range(len(names))} if root.is_dir() else {root.resolve()}
        for path in (table, sheet_path(table)):
            if path.resolve() in files:
                raise DataError(f"{path} is one of the inputs and would be written over; name another out")


def sheet_path(table: Path) -> Path:
    """Returns where the contact sheet of a table lies: beside it, `labels.png` for `labels.csv`."""
    return table.with_suffix(".png") if table.suffix in (".csv", ".parquet") else table.with_name(f"{table.name}.png")
