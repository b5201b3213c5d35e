"""Arrays under the keys of an .npz file: inputs, labels and names of the classes."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .array_rows import rows_of
from .decode import decode
from .errors import DataError
from .how import How
from .labels import Labels, read_labels
from .samples import Rows, Samples

INPUT_KEYS, LABEL_KEYS, ENCODED_KEYS = ("images", "X"), ("labels", "y"), ("jpeg_bytes", "offsets")


@dataclass(frozen=True)
class EncodedRows:
    """Reader of encoded images, all in one array of bytes, uint8, that begin and end at `offsets`, int64 (N + 1,)."""

    content: Tensor
    offsets: Tensor
    origin: str

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def read(self, row: int, size: int | None) -> tuple[Tensor, bool]:
        """Returns an image, uint8 (3, H, W), and whether it has several frames."""
        start, end = self.offsets[row : row + 2].tolist()
        pixels, has_frames = decode(self.content[start:end].numpy().tobytes(), f"image {row} of {self.origin}", size)
        return torch.from_numpy(pixels).permute(2, 0, 1), has_frames


def read_arrays(path: Path, keys: Sequence[str] | None = None, required: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Returns the arrays of an .npz file under `keys` and `required`, None: all; absent `keys` are skipped.

    Raises:
        DataError: it is not an .npz file, contains pickles, or lacks a required key.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            wanted = arrays.files if keys is None else (*keys, *required)
            found = {key: arrays[key] for key in wanted if key in arrays}
            there = sorted(arrays.files)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as .npz: {error}") from error
    except Exception as error:  # zipfile.BadZipFile and zlib.error have no common base
        raise DataError(f"{path} is damaged: {error}") from error
    if not set(required) <= found.keys():
        raise DataError(f"{path} must hold {', '.join(required)}, got {there}")
    return found


def read_npz(path: Path, how: How) -> Samples:
    """Returns the data of an .npz or .npy file; see `of_arrays`."""
    if path.suffix.lower() == ".npy":
        try:
            return of_arrays({"X": np.load(path, allow_pickle=False)}, str(path), how)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path} cannot be read as .npy: {error}") from error
    given = [key for key in (how.input_column, how.label_column) if key]
    arrays = read_arrays(path, (*INPUT_KEYS, *LABEL_KEYS, *ENCODED_KEYS, "classes", *given))
    with zipfile.ZipFile(path) as file:
        there = [name.removesuffix(".npy") for name in file.namelist()]
    return of_arrays(arrays, str(path), how, there)


def of_arrays(arrays: Mapping[str, Any], origin: str, how: How, there: Sequence[str] | None = None) -> Samples:
    """Returns the data of arrays by their keys.

    `images`, or `jpeg_bytes` and `offsets`, or `X`; `labels` or `y`; optionally the names of the `classes`.

    Args:
        arrays: arrays or tensors.
        origin: where they come from, for messages.
        how: what the user says of them.
        there: all keys there are, for messages.

    Raises:
        DataError: a key is missing, or its array does not fit.
    """
    keys = sorted(arrays if there is None else there)
    key = how.input_column or next((key for key in (*INPUT_KEYS, ENCODED_KEYS[0]) if key in arrays), None)
    if key is None or key not in arrays or (key == ENCODED_KEYS[0] and ENCODED_KEYS[1] not in arrays):
        wanted = how.input_column or "images, or jpeg_bytes and offsets, or X"
        raise DataError(f"{origin} must hold {wanted}, got {keys}; name another key as input_column")
    if key == ENCODED_KEYS[0]:
        rows: Rows = encoded_rows(arrays, origin)
        kind = how.only("image", f"{key} of {origin}")
    else:
        rows, kind = rows_of(arrays[key], f"{key} of {origin}", how.kind or ("image" if key == "images" else None))
    if not len(rows):
        raise DataError(f"{origin} must hold at least one sample, got none")
    labels = None if how.labelled is False else labels_of(arrays, len(rows), origin, how.label_column, keys)
    if labels is None and how.labelled:
        raise DataError(f"{origin} must have labels, under `labels` or `y`, got {keys}; name another as label_column")
    return Samples.of(rows, kind, origin, labels=labels, size=how.size)


def labels_of(
    arrays: Mapping[str, Any], count: int, origin: str, key: str | None, there: Sequence[str]
) -> Labels | None:
    """Returns the labels under a key, None: the usual ones, or None if there are none."""
    if key is not None and key not in arrays:
        raise DataError(f"{origin} must hold {key}, got {list(there)}")
    key = key or next((key for key in LABEL_KEYS if key in arrays), None)
    if key is None:
        return None
    names = [str(name) for name in np.asarray(arrays["classes"]).tolist()] if "classes" in arrays else None
    return read_labels(arrays[key], count, origin, names)


def encoded_rows(arrays: Mapping[str, Any], origin: str) -> EncodedRows:
    """Returns the reader of `jpeg_bytes` and `offsets`. Raises `DataError` for offsets that do not fit the bytes."""
    content, offsets = (np.asarray(arrays[key]) for key in ENCODED_KEYS)
    fits = content.ndim == offsets.ndim == 1 and content.dtype == np.uint8 and offsets.dtype.kind in "iu"
    if not fits or not len(offsets) or offsets[0] < 0 or offsets[-1] > len(content) or (np.diff(offsets) < 0).any():
        raise DataError(
            f"jpeg_bytes of {origin} must be uint8 (B,) and offsets N + 1 rising integers in 0..B, got "
            f"{content.shape} of {content.dtype} and {offsets.shape} of {offsets.dtype}"
        )
    return EncodedRows(torch.from_numpy(content), torch.from_numpy(offsets.astype(np.int64)), origin)
