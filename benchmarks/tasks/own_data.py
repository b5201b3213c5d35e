"""The user's own data: a folder of class folders, for a target also a folder of unlabelled images, or an .npz file."""

import hashlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dmsrl_adapt.trainer.frozen_features import augmented_features, frozen_features

from .images import decode, encoded_images, read_arrays, register_heif, to_images
from .own_classes import Pool, agree
from .task import DataError, Fractions, Split, Task

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
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
LONGEST_NAME = 60  # characters of a path in the name of a task
KEYS = ("images", "jpeg_bytes", "offsets", "X", "labels", "y", "classes")


def load_own(source: Path, target: Path, target_test: Path | None, size: int, network: str) -> Task:
    """Returns the task of adapting from `source` to `target`.

    Without `target_test`, 30 % of the target are kept for scoring. Images are resized to size x size; for the network
    "frozen" they are replaced by frozen features. Target labels, if present, are used for scoring only. The classes are
    those that the source has samples of; a warning names others that are listed and those that a labelled target lacks.
    """
    pools = [read_pool(path, size) for path in (source, target, *([target_test] if target_test else []))]
    if pools[0].split.labels is None:
        raise DataError(
            f"the source {source} must have labels: class folders with images, or `labels` or `y` in an .npz"
        )
    agreed = agree(pools[0], pools[1:])
    for note in agreed.notes:
        warnings.warn(note, stacklevel=2)
    shapes = {tuple(pool.split.inputs.shape[1:]) for pool in pools}
    if len(shapes) > 1:
        raise DataError(f"source and target must have inputs of one shape, got {sorted(shapes)}")
    splits = [with_frozen_features(split) if network == "frozen" else split for split in agreed.splits]
    if target_test is None:
        parts = Fractions(0.6, 0.1).cut(splits[1])
    else:
        train, validation, _ = Fractions(0.85, 0.15).cut(splits[1])
        parts = (train, validation, splits[2])
    for path, part in ((source, splits[0]), (target, parts[0]), (target_test or target, parts[2])):
        if len(part) < 2:  # batch normalisation needs two
            raise DataError(f"{path} holds too little: each part must have at least 2 samples, one has {len(part)}")
    return Task(task_name(source, target), agreed.classes, splits[0], *parts)


def task_name(source: Path, target: Path) -> str:
    """Returns the name of the task of two paths: their last parts, and eight digits of a hash of the whole paths.

    So two pairs of paths have two names, also where their last parts are the same, and a pair always has the same one.
    """
    paths = (source.resolve(), target.resolve())
    digest = hashlib.sha256(b"\0".join(map(os.fsencode, paths))).hexdigest()[:8]
    return "-".join([*short_names(*paths), digest])


def short_names(first: Path, second: Path) -> list[str]:
    """Returns the last parts of two paths, with so many of those above that they differ if the paths do."""
    ends = [[*path.parts[1:-1], path.name.removesuffix(".npz")] for path in (first, second)]
    depth = 1
    while first != second and ends[0][-depth:] == ends[1][-depth:] and depth < max(map(len, ends)):
        depth += 1
    return ["_".join(parts[-depth:])[-LONGEST_NAME:] for parts in ends]


def fingerprint(path: Path) -> str:
    """Returns a hash that changes when a file that is read from `path` is added, removed or written, not when moved.

    HEIC files count only if they can be read, so the hash changes when pillow-heif is installed.
    """
    digest = hashlib.sha256()
    for file in read_files(path):
        status = file.stat()
        name = file.relative_to(path).as_posix()
        digest.update(os.fsencode(f"{name}|{status.st_size}|{status.st_mtime_ns}\n"))
    return digest.hexdigest()[:16]


def read_files(path: Path) -> list[Path]:
    """Returns the files that are read from a path, each below it or the path itself."""
    return [file for files in image_files(path).values() for file in files] if path.is_dir() else [path]


def visible_files(folder: Path) -> list[Path]:
    """Returns all below a folder that is neither a folder nor hidden, links followed, also links that lead nowhere."""
    return sorted(entries_below(folder, ()))


def entries_below(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Yields what is not hidden below a folder; what lies in folders above, into which a link leads, is not below it.

    Raises `DataError` if a folder cannot be listed.
    """
    here = folder.resolve()
    if here in above or not here.is_dir():
        return
    try:
        entries = [entry for entry in folder.iterdir() if not is_hidden(entry)]
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error}") from error
    for entry in entries:
        if entry.is_dir():
            yield from entries_below(entry, (*above, here))
        else:
            yield entry


def is_hidden(path: Path) -> bool:
    """Returns whether a file or folder is hidden, or one that operating systems and archivers leave behind."""
    return path.name.startswith(".") or path.name.lower() in LEFT_BEHIND


def images_below(folder: Path, above: tuple[Path, ...] = ()) -> list[Path]:
    """Returns the images below a folder, by file name extension; see `entries_below`."""
    return sorted(file for file in entries_below(folder, above) if is_image(file))


def is_image(file: Path) -> bool:
    """Returns whether a file is there and a readable image, by file name extension."""
    return file.suffix.lower() in (SUFFIXES | HEIF_SUFFIXES if HAS_HEIF else SUFFIXES) and file.is_file()


def lacks_heif(file: Path) -> bool:
    """Returns whether a file is not read only because pillow-heif is missing."""
    return file.suffix.lower() in HEIF_SUFFIXES and not HAS_HEIF


def image_files(path: Path) -> dict[str | None, list[Path]]:
    """Returns the images of a folder by class folder; if no subfolder has images, those in the folder under None."""
    folders = sorted(entry for entry in path.iterdir() if entry.is_dir() and not is_hidden(entry))
    of_class: dict[str | None, list[Path]] = {one.name: images_below(one, (path.resolve(),)) for one in folders}
    return of_class if any(of_class.values()) else {None: images_below(path)}


def left_out(path: Path) -> list[Path]:
    """Returns the visible files below a folder that are not read; [] if `path` is not a folder."""
    if not path.is_dir():
        return []
    read = set(read_files(path))
    return [file for file in visible_files(path) if file not in read]


def is_labelled(path: Path) -> bool:
    """Returns whether the data at `path` has labels, without reading samples."""
    return None not in image_files(path) if path.is_dir() else bool(read_arrays(path, ("labels", "y")))


def read_pool(path: Path, size: int) -> Pool:
    """Returns the data at `path`. Raises `DataError` if it is neither a folder with images nor an .npz file."""
    if path.is_dir():
        return read_folder(path, size)
    if path.suffix == ".npz" and path.is_file():
        return read_npz(path, size)
    raise DataError(
        f"{path} must be a folder with images or an .npz file" + ("" if path.exists() else "; it is missing")
    )


def read_folder(path: Path, size: int) -> Pool:
    """Returns the images below `path`, with one folder per class, or without labels; other files are skipped."""
    files = image_files(path)
    numbered = [(file, number) for number, of_class in enumerate(files.values()) for file in of_class]
    if not numbered:
        raise DataError(f"{path} must hold images, those of a source in class folders, found none")
    images = read_images([file for file, _ in numbered], size)
    if None in files:
        return Pool(path, Split(images, None), None)
    labels = torch.as_tensor([number for _, number in numbered])
    return Pool(path, Split(images, labels), tuple(map(str, files)))


def read_images(files: list[Path], size: int) -> Tensor:
    """Returns images, uint8 (N, 3, size, size), with a progress bar if it takes long.

    A warning names one of those that have several frames or pages, of which the first is read.
    """
    bar, animated = tqdm(files, "reading images", unit=" images", delay=2, leave=False), list[str]()
    images = to_images(np.stack([decode(file, str(file), size, animated) for file in bar]))
    if animated:
        count = "1 file has" if len(animated) == 1 else f"{len(animated)} files have"
        warnings.warn(
            f"{count} several frames or pages, of which the first is read, such as {animated[0]}", stacklevel=2
        )
    return images


def read_npz(path: Path, size: int) -> Pool:
    """Returns the data of an .npz: `images`, or `jpeg_bytes` and `offsets`, or `X`; `labels` or `y`; `classes`."""
    arrays = read_arrays(path, KEYS)
    if any(key in arrays and not arrays[key].size for key in ("X", "images", "jpeg_bytes")):
        raise DataError(f"{path} must hold at least one sample, got none")
    if "X" in arrays:
        if arrays["X"].ndim != 2 or not np.issubdtype(arrays["X"].dtype, np.number):
            raise DataError(f"X of {path} must have shape (N, D), got {arrays['X'].shape} of {arrays['X'].dtype}")
        inputs = torch.as_tensor(arrays["X"].astype(np.float32))
        if not torch.isfinite(inputs).all():
            raise DataError(f"X of {path} must be finite, it holds NaN or infinite values")
    elif "images" in arrays:
        # values 0..1 would all become black
        if arrays["images"].dtype != np.uint8:
            raise DataError(f"images of {path} must be uint8, 0..255, got {arrays['images'].dtype}")
        inputs = to_images(arrays["images"], size)
    elif {"jpeg_bytes", "offsets"} <= arrays.keys():
        inputs = to_images(encoded_images(arrays, str(path), size))
    else:
        with np.load(path) as there:
            raise DataError(f"{path} must hold images, or jpeg_bytes and offsets, or X, got {sorted(there.files)}")
    labels = arrays.get("labels", arrays.get("y"))
    if labels is not None and (labels.shape != (len(inputs),) or not np.issubdtype(labels.dtype, np.integer)):
        raise DataError(f"labels of {path} must be {len(inputs)} integers, got {labels.shape} of {labels.dtype}")
    names = tuple(map(str, arrays["classes"].tolist())) if "classes" in arrays else None
    numbers = None if labels is None else torch.as_tensor(labels.astype(np.int64))
    return Pool(path, Split(inputs, numbers), names)


def with_frozen_features(split: Split) -> Split:
    """Returns images as features of the frozen network; feature vectors are unchanged."""
    if split.inputs.ndim != 4:
        return split
    return Split(frozen_features(split.inputs), split.labels, augmented_features(split.inputs))
