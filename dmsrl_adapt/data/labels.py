"""Labels as data sets give them, numbered by the names of their classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import DataError


@dataclass(frozen=True)
class Labels:
    """Labels of samples.

    numbers: int64 (N,), numbers of `classes`.
    classes: names; some may have no sample.
    is_numbered: whether the names are only the numbers that the data gives, such as 0, 7 and 1000.
    """

    numbers: Tensor
    classes: tuple[str, ...]
    is_numbered: bool


def read_labels(values: Any, count: int, origin: str, names: Sequence[str] | None = None) -> Labels:
    """Returns labels.

    Args:
        values: integers, whole floats or texts, an array, tensor or list of shape (N,) or (N, 1).
        count: N.
        origin: where they come from, for messages.
        names: of the classes, if `values` are numbers of them.

    Raises:
        DataError: another shape or type, missing or negative labels, or labels beyond the names.

    Examples:
        >>> read_labels([7, 1000, 7], 3, "here")
        Labels(numbers=tensor([0, 1, 0]), classes=('7', '1000'), is_numbered=True)
        >>> read_labels(["cat", "ant", "cat"], 3, "here").classes
        ('ant', 'cat')
    """
    wanted = f"labels of {origin} must be {count} integers or texts"
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:  # ragged lists
        raise DataError(f"{wanted}: {error}") from error
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in array.ravel()):
        array = array.astype(str)
    if array.shape == (count, 1):
        array = array[:, 0]
    if array.shape != (count,) or array.dtype.kind not in "biufU":
        raise DataError(f"{wanted}, got {array.shape} of {array.dtype}")
    if array.dtype.kind == "U":
        return of_texts(array, wanted)
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.round(array)).all()):
        raise DataError(f"{wanted}, got fractions, NaN or infinite values")
    numbers = array.astype(np.int64)
    check_range(numbers, origin, names)
    if names is not None:
        return Labels(torch.from_numpy(numbers), tuple(map(str, names)), False)
    found, places = np.unique(numbers, return_inverse=True)
    return Labels(torch.from_numpy(places.astype(np.int64)), tuple(map(str, found.tolist())), True)


def of_texts(texts: np.ndarray, wanted: str) -> Labels:
    """Returns labels given as names, or as numbers written out. Raises `DataError` for empty ones."""
    texts = np.char.strip(texts)
    if (missing := np.flatnonzero(texts == "")).size:
        raise DataError(f"{wanted}, {missing.size} of them are empty, such as that of row {missing[0]}")
    found, places = np.unique(texts, return_inverse=True)
    names = found.tolist()
    is_numbered = all(name.isdecimal() for name in names)
    if is_numbered:
        order = sorted(range(len(names)), key=lambda place: int(names[place]))
        places, names = np.argsort(order)[places], [names[place] for place in order]
    return Labels(torch.from_numpy(places.astype(np.int64)), tuple(names), is_numbered)


def check_range(numbers: np.ndarray, origin: str, names: Sequence[str] | None) -> None:
    """Raises `DataError` for labels below 0, or beyond the names."""
    if not numbers.size:
        return
    low, high = int(numbers.min()), int(numbers.max())
    if low < 0 or (names is not None and high >= len(names)):
        allowed = "at least 0" if names is None else f"in 0..{len(names) - 1}, for {len(names)} classes"
        raise DataError(f"labels of {origin} must be {allowed}, got values from {low} to {high}")
