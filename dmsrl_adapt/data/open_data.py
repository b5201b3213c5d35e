"""One call for all data that a user may have."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .arrays import of_arrays, read_npz
from .errors import DataError
from .folders import read_folder
from .how import How, Kind
from .samples import Samples


def open_data(
    what: Any,
    labelled: bool | None = None,
    *,
    kind: Kind | None = None,
    input_column: str | None = None,
    label_column: str | None = None,
    size: int | None = None,
) -> Samples:
    """Returns a data set that reads its samples as they are indexed.

    Args:
        what: a folder of class folders or of images, an .npz or .npy file, an array or a tuple `(inputs, labels)` of
            arrays, or a mapping of arrays with the keys of an .npz.
        labelled: True requires labels, False leaves them out and reads all images below a folder, None takes what is
            there.
        kind: "image", "vector", "signal" or "tensor", where the data does not tell.
        input_column: key of the inputs in an .npz, column of a table, key of a sample.
        label_column: of the labels, likewise.
        size: in pixels; images are made smaller as they are decoded, their shorter side at least `size` and below
            2 `size`, so that large photographs are read fast. None keeps their own size.

    Raises:
        DataError: the data is missing or cannot be used; the message says what to do.
    """
    how = How(labelled, kind, input_column, label_column, size)
    if isinstance(what, (str, Path)):
        return open_path(Path(what), how)
    if isinstance(what, (np.ndarray, Tensor)):
        return of_arrays({"X": what}, "the array", how)
    if isinstance(what, Mapping):
        return of_arrays(what, "the mapping", how)
    if isinstance(what, tuple) and len(what) == 2:
        return of_arrays({"X": what[0], "y": what[1]}, "the arrays", how)
    raise DataError(f"data must be a path, arrays or a data set, got {type(what).__name__}")


def open_path(path: Path, how: How) -> Samples:
    """Returns the data at a path."""
    if path.is_dir():
        return read_folder(path, how)
    if not path.exists():
        raise DataError(f"{path} must be a folder with images, a table or an .npz file; it is missing")
    if path.suffix.lower() in (".npz", ".npy"):
        return read_npz(path, how)
    raise DataError(f"{path} must be a folder with images, a table or an .npz file")
