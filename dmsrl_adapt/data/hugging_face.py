"""Data sets of Hugging Face's library `datasets`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .array_rows import rows_of
from .columns import LABELS, column_of
from .decode import decode
from .errors import DataError, UnreadableError
from .how import How
from .labels import Labels, read_labels
from .samples import Samples

ORIGIN = "the Hugging Face data set"


@dataclass(frozen=True)
class ColumnImages:
    """Reader of images in a column that is not decoded: a dict of `bytes` or `path`."""

    rows: Any
    column: str

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, row: int, size: int | None) -> tuple[Tensor, bool]:
        """Returns an image, uint8 (3, H, W), and whether it has several frames."""
        name = f"row {row} of {ORIGIN}"
        value = self.rows[row][self.column] or {}
        content = value.get("bytes") or value.get("path")
        if not content:
            raise UnreadableError(f"{name} cannot be read as an image: it is empty")
        pixels, has_frames = decode(content, name, size)
        return torch.from_numpy(pixels).permute(2, 0, 1), has_frames


def is_hugging_face(what: Any) -> bool:
    """Returns whether a data set is one of the library, without importing it."""
    return any(base.__module__.partition(".")[0] == "datasets" for base in type(what).__mro__)


def read_hugging_face(what: Any, how: How) -> Samples:
    """Returns the data of a `datasets.Dataset`: its column of images, and its column of labels if it has one.

    Columns are known by their type (`Image`, `ClassLabel`) or their name. Images are decoded as they are read; a column
    of vectors or arrays, named by the user, is held in memory.

    Raises:
        DataError: a dict of several parts, a stream, or columns that cannot be told.
    """
    if isinstance(what, Mapping):
        raise DataError(f"{ORIGIN} has the parts {sorted(what)}; give one, such as data[{next(iter(what))!r}]")
    if not hasattr(what, "__len__"):
        raise DataError(f"{ORIGIN} is a stream, which has no rows to draw from; load it without streaming=True")
    features = what.features
    images = [name for name, feature in features.items() if type(feature).__name__ == "Image"]
    column = column_of(features, how.input_column, (), ORIGIN) or (images[0] if len(images) == 1 else None)
    if column is None:
        there = f"several columns of images, {images}" if images else f"the columns {list(features)}"
        raise DataError(f"{ORIGIN} has {there}; name the one of the inputs as input_column")
    if not len(what):
        raise DataError(f"{ORIGIN} must hold at least one sample, got none")
    labels = None if how.labelled is False else labels_of(what, how.label_column)
    if labels is None and how.labelled:
        raise DataError(f"{ORIGIN} must have labels; name their column as label_column, it has {list(features)}")
    plain = what.with_format(None)
    if column in images:
        kind, raw = how.only("image", ORIGIN), type(features[column])(decode=False)
        rows: Any = ColumnImages(plain.select_columns([column]).cast_column(column, raw), column)
    else:
        rows, kind = rows_of(np.asarray(list(plain[column])), f"column {column} of {ORIGIN}", how.kind)
    return Samples.of(rows, kind, ORIGIN, labels=labels, size=how.size)


def labels_of(what: Any, given: str | None) -> Labels | None:
    """Returns the labels of a column that the user names, of the only `ClassLabel`, or of one with a usual name."""
    features = what.features
    typed = [name for name, feature in features.items() if type(feature).__name__ == "ClassLabel"]
    column = column_of(features, given, (), ORIGIN) or (typed[0] if len(typed) == 1 else None)
    if column is None and len(typed) > 1:
        raise DataError(f"{ORIGIN} has several columns of labels, {typed}; name one as label_column")
    column = column or column_of(features, None, LABELS, ORIGIN)
    if column is None:
        return None
    values = list(what.with_format(None)[column])
    names = features[column].names if column in typed else None
    if names and all(value in (None, -1) for value in values):  # as parts without labels are published
        return None
    return read_labels(values, len(what), f"column {column} of {ORIGIN}", names)
