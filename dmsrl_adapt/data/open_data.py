"""One call for all data that a user may have."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .arrays import of_arrays, read_npz
from .errors import DataError
from .files import is_image
from .folders import read_folder
from .how import How, Kind
from .hugging_face import is_hugging_face, read_hugging_face
from .samples import Samples
from .tables import SUFFIXES, is_frame, of_columns, of_files, read_table
from .torch_data import is_torch, read_torch


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
        what: a folder of class folders or of images; a table of paths and labels (.csv, .tsv, .parquet); an .npz or
            .npy file; an image or a list of images; an array, a tuple `(inputs, labels)` of arrays or a mapping with
            the keys of an .npz; a data set or loader of torch; a `datasets.Dataset` of Hugging Face; a table of
            pandas or polars.
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
    if isinstance(what, Samples):
        return of_samples(what, how)
    if isinstance(what, str | Path):
        return open_path(Path(what), how)
    if is_hugging_face(what):
        return read_hugging_face(what, how)
    if isinstance(what, np.ndarray | Tensor):
        return of_arrays({"X": what}, "the given array", how)
    if isinstance(what, Mapping):
        return of_arrays(what, "the given mapping", how)
    if isinstance(what, tuple) and len(what) == 2 and not isinstance(what[0], str | Path):
        return of_arrays({"X": what[0], **({} if what[1] is None else {"y": what[1]})}, "the given arrays", how)
    if isinstance(what, Sequence) and what and all(isinstance(one, str | Path) for one in what):
        return of_files(what, None, "the list of files", "", how)
    if is_frame(what):
        return of_columns({str(name): list(what[name]) for name in what.columns}, "the given table", "", how)
    if is_torch(what):
        return read_torch(what, how)
    raise DataError(f"data must be a path, arrays or a data set, got {type(what).__name__}")


def open_path(path: Path, how: How) -> Samples:
    """Returns the data at a path."""
    if path.is_dir():
        return read_folder(path, how)
    wanted = "a folder with images, an image, a table (.csv, .tsv, .parquet) or an .npz or .npy file"
    if not path.exists():
        raise DataError(f"{path} must be {wanted}; it is missing")
    suffix = path.suffix.lower()
    if suffix in (".npz", ".npy"):
        return read_npz(path, how)
    if suffix in SUFFIXES:
        return read_table(path, how)
    if is_image(path):
        return of_files([path.name], None, str(path), str(path.parent), how)
    raise DataError(f"{path} must be {wanted}")


def of_samples(samples: Samples, how: How) -> Samples:
    """Returns samples that are open already, as the user wants them now."""
    how.only(samples.kind, samples.origin)
    if how.labelled and samples.labels is None:
        raise DataError(f"{samples.origin} must have labels")
    plain = samples.unlabelled() if how.labelled is False else samples
    return plain if how.size is None else replace(plain, size=how.size)
