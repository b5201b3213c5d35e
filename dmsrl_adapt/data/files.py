"""Image files below a folder, as a person sees the folder: links followed, hidden files ignored."""

import os
from functools import cache
from pathlib import Path

from PIL import features

from .decode import register_heif
from .errors import DataError

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pnm"}
HEIF_SUFFIXES = {".heic", ".heif"}
HAS_HEIF = register_heif()
LEFT_BEHIND = {
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "@eadir",
    "$recycle.bin",
    "system volume information",
}
NO_IMAGE, NO_HEIF, NOT_THERE = "no image", "needs: pip install pillow-heif", "is not there"
BESIDE = "not in a class folder"


@cache
def has_avif() -> bool:
    """Returns whether Pillow reads AVIF."""
    return bool(features.check("avif"))


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder is hidden, or one that operating systems and archivers leave behind."""
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def is_image(name: str | Path) -> bool:
    """Returns whether a file is a readable image, by the extension of its name."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix in SUFFIXES or (HAS_HEIF and suffix in HEIF_SUFFIXES) or (suffix == ".avif" and has_avif())


def why_not(path: str) -> str:
    """Returns why a file is not read as an image."""
    if not os.path.isfile(path):
        return NOT_THERE
    if is_image(path):
        return BESIDE
    return NO_HEIF if os.path.splitext(path)[1].lower() in HEIF_SUFFIXES else NO_IMAGE


def entries(folder: str) -> tuple[set[str], set[str], set[str]]:
    """Returns the names of what is not hidden in a folder: folders, files and all else, such as links to nowhere.

    Links are followed.

    Raises:
        DataError: the folder cannot be listed.
    """
    folders, files, others = set[str](), set[str](), set[str]()
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if not is_hidden(entry.name):
                    kind_of(entry, folders, files, others).add(entry.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error}") from error
    return folders, files, others


def kind_of(entry: os.DirEntry[str], folders: set[str], files: set[str], others: set[str]) -> set[str]:
    """Returns the set to which an entry of a folder belongs."""
    try:
        return folders if entry.is_dir() else files if entry.is_file() else others
    except OSError:  # a link to itself
        return others


def images_below(folder: str | Path, above: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    """Returns the paths of the images and of all else below a folder, relative to it, sorted by their parts.

    above: real paths of folders; what lies in them is not below the folder, where a link leads there.

    Raises:
        DataError: a folder cannot be listed.
    """
    here = os.path.realpath(folder)
    if here in above:
        return [], []
    images, others = list[str](), list[str]()
    folders, files, rest = entries(os.fspath(folder))
    for name in sorted(folders | files | rest):
        if name in folders:
            for own, below in zip(
                (images, others), images_below(os.path.join(folder, name), (*above, here)), strict=True
            ):
                own += [f"{name}/{file}" for file in below]
        else:
            (images if name in files and is_image(name) else others).append(name)
    return images, others
