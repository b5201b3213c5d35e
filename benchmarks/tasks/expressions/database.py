"""Databases of facial expressions and their faces."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from dmsrl_adapt.data import DataError
from dmsrl_adapt.data.files import SUFFIXES

EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
PEAK_FRAMES = 3  # frames of a sequence that are taken as the expression
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Face:
    """One face with its annotations.

    image: a file, or grey pixels, uint8 (H, W).
    expression: one of EXPRESSIONS, or None for another label.
    subject: the person, or another group that must not be in two parts; None if unknown.
    part: "train", "validation" or "test", or None if the owners define no parts.
    box: left, top, right and bottom of the face in pixels; None for the whole image.
    """

    image: Path | np.ndarray
    expression: str | None
    subject: str | None = None
    part: str | None = None
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Database:
    """A database as its owners distribute it.

    name: its folder below the folder of data sets.
    address: page with licence and contact.
    layout: files in the folder, and meaning of the labels.
    parts: how a task splits it.
    read: returns the faces in the folder; raises `DataError` for another layout.
    """

    name: str
    title: str
    address: str
    licence: str
    layout: str
    parts: str
    read: Callable[[Path], list[Face]]

    @property
    def how(self) -> str:
        """Source, layout and parts as text."""
        return f"{self.title}, {self.address} ({self.licence})\n{self.layout}\nParts: {self.parts}"

    def count(self, folder: Path) -> Mapping[str, int]:
        """Returns the number of faces of each expression, and of those left out, if any."""
        found = Counter(face.expression or "left out" for face in self.read(folder))
        return {**{name: found[name] for name in EXPRESSIONS}, **{name: n for name, n in found.items() if n}}


def expression_of(code: str, codes: Mapping[str, str | None], where: object) -> str | None:
    """Returns the expression of a label code. Raises `DataError` for an unknown code."""
    if code not in codes:
        raise DataError(f"{where} has the label {code!r}, which must be one of {', '.join(codes)}")
    return codes[code]


def existing(folder: Path, *names: str) -> Path:
    """Returns the first existing file or folder. Raises `DataError`, which lists the folder, if there is none."""
    for name in names:
        if (folder / name).exists():
            return folder / name
    there = sorted(path.name for path in folder.iterdir())[:8] if folder.is_dir() else []
    raise DataError(f"{folder} must hold {' or '.join(names)}, it holds {', '.join(there) or 'nothing'}")


def read_lines(path: Path) -> list[str]:
    """Returns the non-empty lines of a text file. Raises `DataError` if there are none."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    if not any(lines):
        raise DataError(f"{path} is empty")
    return [line for line in lines if line]


def images_in(folder: Path) -> list[Path]:
    """Returns the images directly in a folder, sorted by name; other and hidden files are skipped."""
    files = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(files)


def class_folders(folder: Path, codes: Mapping[str, str | None]) -> Iterator[tuple[Path, str | None]]:
    """Yields the class folders in a folder with their expressions. Raises `DataError` for an unknown name."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith((".", "__")):
            yield path, expression_of(path.name, codes, folder)


def sequence_faces(frames: Sequence[Path], expression: str | None, subject: str, where: object) -> list[Face]:
    """Returns the first frame of a sequence as neutral, and the last three with its expression.

    Raises `DataError` for too few frames.
    """
    if len(frames) <= PEAK_FRAMES:
        raise DataError(f"{where} must have more than {PEAK_FRAMES} frames, it has {len(frames)}")
    labelled = [(frames[0], expression and "neutral"), *((frame, expression) for frame in frames[-PEAK_FRAMES:])]
    return [Face(frame, named, subject) for frame, named in labelled]


def some(entries: list[Entry], where: object, what: str) -> list[Entry]:
    """Returns the entries. Raises `DataError` if there are none."""
    if not entries:
        raise DataError(f"{where} must hold {what}, found none")
    return entries


def all_there(faces: list[Face], where: object) -> list[Face]:
    """Returns the faces. Raises `DataError` if files are missing or there are no faces."""
    missing = [face.image for face in faces if isinstance(face.image, Path) and not face.image.is_file()]
    if missing:
        raise DataError(f"{where} names {len(faces)} images, of which {len(missing)} are missing, such as {missing[0]}")
    return some(faces, where, "labelled images")
