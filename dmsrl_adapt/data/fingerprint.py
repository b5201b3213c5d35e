"""Change of data, noticed without reading it."""

import hashlib
import os
from pathlib import Path

from .folders import ImageFiles, find_images
from .how import How
from .tables import SUFFIXES, read_table


def fingerprint(path: Path) -> str:
    """Returns a hash that changes when a file that is read from `path` is added, removed or written, not when moved.

    HEIC files count only if they can be read, so the hash changes when pillow-heif is installed.
    """
    digest = hashlib.sha256()
    for name, file in read_files(path):
        status = os.stat(file)
        digest.update(os.fsencode(f"{name}|{status.st_size}|{status.st_mtime_ns}\n"))
    return digest.hexdigest()[:16]


def read_files(path: Path) -> list[tuple[str, str]]:
    """Returns the names of the files that are read from a path, and where they are."""
    own = ("", os.fspath(path))
    if path.suffix.lower() in SUFFIXES and path.is_file():
        reader = read_table(path, How(labelled=False)).rows
        files = reader.paths if isinstance(reader, ImageFiles) else ()
        return [own, *((name, os.path.join(path.parent, name)) for name in files)]
    if not path.is_dir():
        return [own]
    found = find_images(path)
    names = [name for images in found.images.values() for name in images]
    return [(name, os.path.join(found.root, name)) for name in names]
