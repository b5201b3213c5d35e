"""Samples in one array: what its axes mean, and reading by row."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .errors import DataError
from .how import Kind
from .pixels import Range, on_ground, range_of
from .samples import Rows

AXES: dict[Kind, str] = {"image": "(N, H, W), (N, H, W, C) or (N, C, H, W)", "vector": "(N, D)"}
AXES |= {"signal": "(N, C, T)", "tensor": "(N, C, H, W)"}
NUMBER_OF_AXES = {"vector": 2, "signal": 3, "tensor": 4}
CHANNELS = (1, 3, 4)  # of images: grey, RGB, RGB with alpha
AT_ONCE = 1 << 24  # values that are looked at at a time


@dataclass(frozen=True)
class ArrayRows:
    """Reader of vectors, signals or tensors, any real type (N, ...), as float32 (...)."""

    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def read(self, row: int, size: int | None) -> tuple[Tensor, bool]:
        """Returns a sample, float32."""
        return self.values[row].to(torch.float32, copy=True), False


@dataclass(frozen=True)
class PixelRows:
    """Reader of images in an array.

    values: (N, H, W, C) of any real type, C 1, 3 or 4.
    tones: the values that are black and white, or None if they are 0..255 already.
    """

    values: Tensor
    tones: Range | None = None

    def __len__(self) -> int:
        return len(self.values)

    def read(self, row: int, size: int | None) -> tuple[Tensor, bool]:
        """Returns an image, uint8 (3, H, W), on white where it is transparent."""
        pixels = self.values[row].numpy()
        if self.tones is not None:
            pixels = self.tones.shown(pixels)
        if pixels.shape[2] == 4:
            pixels = np.asarray(on_ground(Image.fromarray(pixels)))
        return torch.tensor(np.broadcast_to(pixels, (*pixels.shape[:2], 3)).transpose(2, 0, 1)), False


def rows_of(values: Any, what: str, kind: Kind | None) -> tuple[Rows, Kind]:
    """Returns the reader of an array and the kind of its samples.

    values: an array, tensor or nested list of numbers; see `kind_of` for its axes.
    what: name of the array in messages.

    Raises:
        DataError: numbers, shape or values do not fit the kind.
    """
    array = as_numbers(values, what)
    kind = kind_of(array, what) if kind is None else kind
    if kind == "image":
        return pixel_rows(array, what), kind
    if kind == "signal" and array.ndim == 2:
        array = array[:, None]
    if array.ndim != NUMBER_OF_AXES[kind] or 0 in array.shape[1:]:
        raise DataError(f"{what} must have shape {AXES[kind]} of the kind {kind!r}, got {array.shape} of {array.dtype}")
    check_finite(array, what)
    return ArrayRows(torch.from_numpy(array)), kind


def as_numbers(values: Any, what: str) -> np.ndarray:
    """Returns values as an array of real numbers that torch knows. Raises `DataError` if they are none."""
    try:
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    except (TypeError, ValueError) as error:  # ragged lists, number formats that NumPy lacks
        raise DataError(f"{what} cannot be read as an array: {error}") from error
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise DataError(f"{what} must hold real numbers, got {array.shape} of {array.dtype}")
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def kind_of(array: np.ndarray, what: str) -> Kind:
    """Returns the kind of an array whose user names none.

    (N, D): vectors. (N, C, T), not of bytes: signals. Four axes: images if they are bytes, tensors if they are not.

    Raises:
        DataError: it could be several.
    """
    is_bytes = array.dtype == np.uint8
    if array.ndim == 2:
        return "vector"
    if array.ndim == 3 and not is_bytes:
        return "signal"
    if array.ndim == 4 and is_bytes:
        return "image"
    if array.ndim == 4 and not (array.shape[3] in CHANNELS and array.shape[1] not in CHANNELS):
        return "tensor"
    got = f"{what} has shape {array.shape} of {array.dtype}"
    if array.ndim == 3:
        raise DataError(f'{got}: grey images or signals; say which by kind="image" or kind="signal"')
    if array.ndim == 4:
        raise DataError(f'{got}: channels are last; say kind="image" if it holds photographs, or put channels first')
    raise DataError(f"{got}; it must have two axes (vectors), three (signals) or four (images, tensors)")


def pixel_rows(array: np.ndarray, what: str) -> PixelRows:
    """Returns the reader of images.

    array: grey (N, H, W), or (N, H, W, C) or (N, C, H, W) with 1, 3 or 4 channels, the fourth one alpha.

    Raises:
        DataError: another shape, channels first and last at once, or values that are not finite.
    """
    if array.ndim == 3:
        array = array[..., None]
    fits = array.ndim == 4 and 0 not in array.shape[1:]
    is_last, is_first = fits and array.shape[3] in CHANNELS, fits and array.shape[1] in CHANNELS
    if is_first == is_last:
        also = "; whether channels are first or last cannot be told" if is_first else ""
        raise DataError(f"{what} must have shape {AXES['image']}, C 1, 3 or 4, got {array.shape}{also}")
    if is_first:
        array = array.transpose(0, 2, 3, 1)
    if array.dtype.kind == "b":
        return PixelRows(torch.from_numpy(array), Range(0, 1))
    check_finite(array, what)
    if array.dtype == np.uint8:
        return PixelRows(torch.from_numpy(array))
    # one range for all, so that a dark image stays dark
    return PixelRows(torch.from_numpy(array), range_of(array))


def check_finite(array: np.ndarray, what: str) -> None:
    """Raises `DataError`, which names the first such row, for values that are NaN or infinite as float32."""
    if array.dtype.kind != "f" or not array.size:
        return
    step = max(1, AT_ONCE // array[0].size)
    for start, end in pairwise([*range(0, len(array), step), len(array)]):
        with np.errstate(over="ignore"):
            part = array[start:end].astype(np.float32, copy=False).reshape(end - start, -1)
        if not (is_finite := np.isfinite(part).all(1)).all():
            row = start + int(np.flatnonzero(~is_finite)[0])
            raise DataError(f"{what} must be finite, it holds NaN or infinite values, such as in row {row}")
