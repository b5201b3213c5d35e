"""Change of data, noticed without reading it."""

import hashlib
import os
from pathlib import Path

from .folders import find_images


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
    if not path.is_dir():
        return [("", os.fspath(path))]
    found = find_images(path)
    names = [name for images in found.images.values() for name in images]
    return [(name, os.path.join(found.root, name)) for name in names]
