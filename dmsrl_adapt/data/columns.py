"""Names that columns of inputs and of labels usually have."""

from collections.abc import Iterable

from .errors import DataError

FILES = ("image", "images", "img", "file", "filename", "file_name", "filepath", "file_path", "path", "image_path")
ARRAYS = ("pixel_values", "input", "inputs", "x", "data", "signal", "vector", "features", "embedding")
INPUTS = (*FILES, *ARRAYS)
LABELS = ("label", "labels", "target", "targets", "class", "class_name", "category", "y")


def column_of(columns: Iterable[str], given: str | None, usual: tuple[str, ...], origin: str) -> str | None:
    """Returns the column that a user names, None: the first with a usual name in any case, or None if there is none.

    Raises:
        DataError: there is no column of the given name.

    Examples:
        >>> column_of(["Path", "Species", "Label"], None, LABELS, "here")
        'Label'
    """
    there = list(columns)
    if given is not None:
        if given not in there:
            raise DataError(f"{origin} must have a column {given!r}, it has {there}")
        return given
    lower = {name.lower().strip(): name for name in reversed(there)}
    return next((lower[name] for name in usual if name in lower), None)
