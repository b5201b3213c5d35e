"""Tables of paths and labels: CSV, TSV and Parquet."""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .arrays import EncodedRows
from .columns import INPUTS, LABELS, column_of
from .errors import DataError
from .files import is_image, why_not
from .folders import ImageFiles
from .how import How
from .labels import read_labels
from .names import Names
from .samples import Samples, most_left_out

SUFFIXES = (".csv", ".tsv", ".parquet", ".pq")
DELIMITERS = ",;\t|"


def read_table(path: Path, how: How) -> Samples:
    """Returns the images that a file lists; relative paths begin at its folder. See `of_columns`."""
    columns = read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else read_csv(path)
    return of_columns(columns, str(path), str(path.parent), how)


def is_frame(what: Any) -> bool:
    """Returns whether something is a table of pandas or polars."""
    return hasattr(what, "columns") and hasattr(what, "to_numpy")


def of_columns(columns: Mapping[str, Sequence[Any]], origin: str, root: str, how: How) -> Samples:
    """Returns the images that a table lists, with their labels if it has a column of them.

    The columns are those that the user names, or those with a usual name; a column of file names is also known by its
    values, and of two columns the other one holds labels.

    Raises:
        DataError: the table cannot be read, has no such columns, or lists files that are not there.
    """
    kind = how.only("image", f"{origin}, a table,")
    key = column_of(columns, how.input_column, INPUTS, origin) or by_values(columns)
    if key is None or not columns[key]:
        what = "rows" if key else "a column of image files; name it as input_column"
        raise DataError(f"{origin} must have {what}, it has the columns {list(columns)} and {count(columns)} rows")
    label = None if how.labelled is False else column_of(columns, how.label_column, LABELS, origin)
    if label is None and how.labelled is not False and len(columns) == 2:
        label = next(name for name in columns if name != key)
    inputs, labels = columns[key], None if label is None else columns[label]
    if isinstance(inputs[0], bytes | dict):
        rows, known = embedded(inputs, origin), labels and read_labels(labels, len(inputs), origin)
        return Samples.of(rows, kind, origin, labels=known or None, size=how.size)
    return of_files(inputs, labels, origin, root, how)


def of_files(files: Sequence[Any], labels: Sequence[Any] | None, origin: str, root: str, how: How) -> Samples:
    """Returns image files, relative to `root` or whole, with labels if given; files that are not there are left out.

    Raises:
        DataError: too many are not there.
    """
    names = [found_name(str(file).strip(), root) for file in files]
    fits = [is_image(name) and os.path.isfile(os.path.join(root, name)) for name in names]
    kept = [row for row, is_fine in enumerate(fits) if is_fine]
    skipped = [(names[row], why_not(os.path.join(root, names[row]))) for row, is_fine in enumerate(fits) if not is_fine]
    if not kept or len(skipped) > most_left_out(len(names)):
        name, reason = skipped[0]
        told = f"{len(skipped)} of the {len(names)} files that {origin} lists cannot be used"
        raise DataError(f"{told}, such as {name!r} (below {root or os.getcwd()}): {reason}")
    known = None
    if labels is not None and any(label not in (None, "") for label in labels):
        known = read_labels([labels[row] for row in kept], len(kept), origin)
    if how.labelled and known is None:
        raise DataError(f"{origin} must have labels: a table with a column of them; name it as label_column")
    packed = Names.of(names[row] for row in kept)
    return Samples.of(ImageFiles(root, packed), how.only("image", origin), origin, packed, known, how.size, skipped)


def found_name(name: str, root: str) -> str:
    """Returns a path, with the slashes of this system if it is written with those of Windows."""
    turned = name.replace("\\", "/")
    return turned if turned != name and not os.path.exists(os.path.join(root, name)) else name


def by_values(columns: Mapping[str, Sequence[Any]]) -> str | None:
    """Returns the first column whose first value is the name of an image."""
    return next((key for key, values in columns.items() if values and is_image(str(values[0]).strip())), None)


def count(columns: Mapping[str, Sequence[Any]]) -> int:
    """Returns the number of rows."""
    return max(map(len, columns.values()), default=0)


def read_csv(path: Path) -> dict[str, list[str]]:
    """Returns the columns of a CSV or TSV by their names, "column 1" and so on if it has none.

    Raises:
        DataError: it is no text in UTF-8, or a line has other columns than the first.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            delimiter = max(DELIMITERS, key=first.count)
            file.seek(0)
            lines = [line for line in csv.reader(file, delimiter=delimiter, skipinitialspace=True) if any(line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table in UTF-8: {error}") from error
    if not lines:
        raise DataError(f"{path} must have rows, it is empty")
    head = [name.strip() for name in lines[0]]
    if any(is_image(name) for name in head):
        head = [f"column {number}" for number in range(1, len(head) + 1)]
    else:
        del lines[0]
    for number, line in enumerate(lines):
        if len(line) != len(head):
            raise DataError(f"row {number} of {path} must have {len(head)} columns, it has {len(line)}: {line}")
    return {name: [line[place] for line in lines] for place, name in enumerate(head)}


def read_parquet(path: Path) -> dict[str, list[Any]]:
    """Returns the columns of a Parquet file by their names. Raises `DataError` if it cannot be read."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ImportError(f"Parquet needs a package: `pip install pyarrow` ({error})") from error
    try:
        return {str(name): values for name, values in parquet.read_table(path).to_pydict().items()}
    except (OSError, ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error


def embedded(values: Sequence[Any], origin: str) -> EncodedRows:
    """Returns the reader of images that lie in a column, as bytes or, as Hugging Face writes them, in a struct."""
    files = [value["bytes"] if isinstance(value, dict) else value for value in values]
    if not all(isinstance(file, bytes) for file in files):
        raise DataError(f"{origin} must hold the bytes of every image, or paths")
    ends = torch.tensor([0, *map(len, files)]).cumsum(0)
    return EncodedRows(torch.from_numpy(np.frombuffer(b"".join(files), np.uint8).copy()), ends, origin)
