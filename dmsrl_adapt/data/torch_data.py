"""Data sets of torch: items `(input, label)`, dicts, or inputs alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset, TensorDataset, default_collate
from tqdm import tqdm

from .array_rows import PixelRows, rows_of
from .columns import INPUTS, LABELS, column_of
from .decode import decode, shown
from .errors import DataError, UnreadableError
from .how import How, Kind
from .labels import Labels, read_labels
from .pixels import Range
from .samples import Samples

FEW = 8  # items that are looked at to learn what they are


@dataclass(frozen=True)
class Items:
    """Items of a data set, taken apart.

    data: the data set.
    collate: makes a batch of a list of items, if its own way is needed to take an item apart.
    """

    data: Any
    collate: Callable[[list[Any]], Any] | None
    how: How

    def __len__(self) -> int:
        return len(self.data)

    @property
    def origin(self) -> str:
        """What the data set is called in messages."""
        return f"the data set {type(self.data).__name__}"

    def parts(self, row: int) -> tuple[Any, Any]:
        """Returns the input and the label of an item, None if it has none.

        Raises:
            UnreadableError: its file cannot be read.
            DataError: it is neither `(input, label)` nor a dict with such keys.
        """
        try:
            item = self.data[row]
        except (OSError, SyntaxError) as error:
            raise UnreadableError(f"row {row} of {self.origin} cannot be read: {error}") from error
        if self.collate is not None:
            batch = self.collate([item])
            item = {k: v[0] for k, v in batch.items()} if isinstance(batch, Mapping) else tuple(v[0] for v in batch)
        if isinstance(item, Mapping):
            inputs = column_of(item, self.how.input_column, INPUTS, f"an item of {self.origin}")
            labels = column_of(item, self.how.label_column, LABELS, f"an item of {self.origin}")
            if inputs is None:
                raise DataError(
                    f"an item of {self.origin} has the keys {list(item)}; name that of the input as input_column"
                )
            return item[inputs], None if labels is None else item[labels]
        if isinstance(item, tuple | list) and len(item):
            return item[0], item[1] if len(item) > 1 else None
        return item, None


@dataclass(frozen=True)
class ItemRows:
    """Reader of the inputs of items.

    tones: the values that are black and white in images that are arrays.
    """

    items: Items
    kind: Kind
    tones: Range | None = None

    def __len__(self) -> int:
        return len(self.items)

    def read(self, row: int, size: int | None) -> tuple[Tensor, bool]:
        """Returns an input in the form of its kind."""
        value, _ = self.items.parts(row)
        what = f"row {row} of {self.items.origin}"
        if isinstance(value, Image.Image):
            pixels, has_frames = shown(value, what, size)
        elif isinstance(value, str | Path | bytes):
            pixels, has_frames = decode(value, what, size)
        else:
            reader, _ = rows_of(as_array(value, what)[None], what, self.kind)
            if self.tones is not None and isinstance(reader, PixelRows):
                reader = PixelRows(reader.values, self.tones)
            return reader.read(0, size)
        return torch.from_numpy(pixels).permute(2, 0, 1), has_frames


def as_array(value: Any, what: str) -> np.ndarray:
    """Returns an input as an array. Raises `DataError` if it is none."""
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | Sequence) and not isinstance(value, str):
        return np.asarray(value)
    raise DataError(f"{what} must be a picture, an array or a tensor, got {type(value).__name__}")


def is_torch(what: Any) -> bool:
    """Returns whether something is a data set of torch, a loader of one, or anything else that is read by row."""
    return isinstance(what, DataLoader | IterableDataset) or (hasattr(what, "__getitem__") and hasattr(what, "__len__"))


def read_torch(what: Any, how: How) -> Samples:
    """Returns the data of a data set, or of a loader's data set, in the order of its rows.

    An item is `(input, label, ...)`, a dict with usual keys, or the input alone. Inputs are pictures of Pillow, paths,
    arrays or tensors. Labels are the attribute `targets` or `labels` of the data set if it agrees with the items;
    otherwise every item is read once.

    Raises:
        DataError: a stream, no items, or items that cannot be told.
    """
    collate = None
    if isinstance(what, DataLoader):
        collate = None if what.collate_fn in (None, default_collate) else what.collate_fn
        what = what.dataset
    if isinstance(what, IterableDataset) or not hasattr(what, "__len__"):
        raise DataError(f"{type(what).__name__} is a stream, which has no rows to draw from; give a data set of rows")
    items = Items(what, collate, how)
    if not len(items):
        raise DataError(f"{items.origin} must hold at least one sample, got none")
    rows = item_rows(items)
    labels = None if how.labelled is False else labels_of(items)
    if labels is None and how.labelled:
        raise DataError(f"{items.origin} must have labels: items (input, label), or dicts with a key label")
    return Samples.of(rows, rows.kind, items.origin, labels=labels, size=how.size)


def item_rows(items: Items) -> ItemRows:
    """Returns the reader of items, whose kind is that of the first few."""
    what = f"an item of {items.origin}"
    few = [items.parts(row)[0] for row in torch.linspace(0, len(items) - 1, min(FEW, len(items))).long().tolist()]
    if all(isinstance(value, Image.Image | str | Path | bytes) for value in few):
        return ItemRows(items, items.how.only("image", what))
    arrays = [as_array(value, what) for value in few]
    readers = [rows_of(array[None], what, items.how.kind) for array in arrays]
    kind = readers[0][1]
    if kind != "image" or arrays[0].dtype == np.uint8:
        return ItemRows(items, kind)
    low, high = min(float(array.min()) for array in arrays), max(float(array.max()) for array in arrays)
    tops = (1, 255) if arrays[0].dtype.kind == "f" else (255, 65535)
    if low < 0 or high > tops[1]:
        raise DataError(
            f"{what} must have values in 0..1 or 0..255 as an image, without Normalize, got {low:g}..{high:g}"
        )
    return ItemRows(items, kind, Range(0, next(top for top in tops if high <= top)))


def labels_of(items: Items) -> Labels | None:
    """Returns the labels of items, or None if they have none."""
    first, last = (items.parts(row)[1] for row in (0, len(items) - 1))
    if first is None:
        return None
    values: Any = known_labels(items.data)
    if values is None or len(values) != len(items) or not (same(values[0], first) and same(values[-1], last)):
        bar = tqdm(range(len(items)), "reading labels", unit=" samples", delay=2, leave=False)
        values = [items.parts(row)[1] for row in bar]
    plain = [value.item() if isinstance(value, Tensor | np.generic) and value.ndim == 0 else value for value in values]
    names = getattr(items.data, "classes", None)
    fits = names is not None and all(isinstance(value, int) and 0 <= value < len(names) for value in plain)
    return read_labels(plain, len(items), items.origin, [str(name) for name in names] if fits and names else None)


def same(one: Any, other: Any) -> bool:
    """Returns whether two labels are equal."""
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))


def known_labels(data: Any) -> Sequence[Any] | np.ndarray | Tensor | None:
    """Returns the labels that a data set keeps, without reading items, or None."""
    if isinstance(data, TensorDataset):
        return data.tensors[1] if len(data.tensors) > 1 else None
    if isinstance(data, Subset):
        inner = known_labels(data.dataset)
        return None if inner is None else [inner[row] for row in data.indices]
    if isinstance(data, ConcatDataset):
        parts = [known_labels(part) for part in data.datasets]
        return (
            None if any(part is None for part in parts) else [one for part in parts if part is not None for one in part]
        )
    found = next((value for name in ("targets", "labels") if (value := getattr(data, name, None)) is not None), None)
    return found if isinstance(found, Sequence | np.ndarray | Tensor) else None
