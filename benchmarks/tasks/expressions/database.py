"""What is known of a database of facial expressions, and of each face in it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..own_data import SUFFIXES
from ..task import DataError

EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
PEAK_FRAMES = 3  # at the end of a sequence that goes from a neutral face to an expression
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Face:
    """One face and what its owners say of it.

    image: a file, or grey pixels, uint8 (H, W).
    expression: one of EXPRESSIONS, None where its label is none of them.
    subject: the person, or whatever else must not be in two parts; None where nobody knows.
    part: "train", "validation" or "test" where the owners say so.
    box: left, top, right and bottom of the face in pixels, None for the whole image.
    """

    image: Path | np.ndarray
    expression: str | None
    subject: str | None = None
    part: str | None = None
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Database:
    """A database as its owners distribute it.

    name: of the folder that holds it, below the folder of data sets.
    address: where its licence is and whom to ask.
    layout: what has to lie in the folder, and what the labels mean.
    parts: how a task divides it.
    read: gives the faces in the folder; raises `DataError` where it is not laid out so.
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
        """Where it comes from, what it has to look like and how it is divided."""
        return f"{self.title}, {self.address} ({self.licence})\n{self.layout}\nParts: {self.parts}"

    def count(self, folder: Path) -> Mapping[str, int]:
        """Returns the number of faces of each expression, and of those that are left out, if any."""
        found = Counter(face.expression or "left out" for face in self.read(folder))
        return {**{name: found[name] for name in EXPRESSIONS}, **{name: n for name, n in found.items() if n}}


def expression_of(code: str, codes: Mapping[str, str | None], where: object) -> str | None:
    """Returns the expression that a code of the owners means. Raises `DataError` for a code that they do not have."""
    if code not in codes:
        raise DataError(f"{where} has the label {code!r}, which must be one of {', '.join(codes)}")
    return codes[code]


def existing(folder: Path, *names: str) -> Path:
    """Returns the first of the files or folders that is there. Raises `DataError` where none is, with what is."""
    for name in names:
        if (folder / name).exists():
            return folder / name
    there = sorted(path.name for path in folder.iterdir())[:8] if folder.is_dir() else []
    raise DataError(f"{folder} must hold {' or '.join(names)}, it holds {', '.join(there) or 'nothing'}")


def read_lines(path: Path) -> list[str]:
    """Returns the lines of a text file that are not empty. Raises `DataError` where there is none."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    if not any(lines):
        raise DataError(f"{path} is empty")
    return [line for line in lines if line]


def images_in(folder: Path) -> list[Path]:
    """Returns the images right in a folder, in the order of their names; other and hidden files are passed over."""
    files = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(files)


def class_folders(folder: Path, codes: Mapping[str, str | None]) -> Iterator[tuple[Path, str | None]]:
    """Returns the class folders in a folder with their expressions. Raises `DataError` for one of an unknown name."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith((".", "__")):
            yield path, expression_of(path.name, codes, folder)


def sequence_faces(frames: Sequence[Path], expression: str | None, subject: str, where: object) -> list[Face]:
    """Returns the first frame of a sequence as neutral and the last three with its expression.

    Raises `DataError` where it has too few.
    """
    if len(frames) <= PEAK_FRAMES:
        raise DataError(f"{where} must have more than {PEAK_FRAMES} frames, it has {len(frames)}")
    labelled = [(frames[0], expression and "neutral"), *((frame, expression) for frame in frames[-PEAK_FRAMES:])]
    return [Face(frame, named, subject) for frame, named in labelled]


def some(entries: list[Entry], where: object, what: str) -> list[Entry]:
    """Returns the entries. Raises `DataError` where there are none."""
    if not entries:
        raise DataError(f"{where} must hold {what}, found none")
    return entries


def all_there(faces: list[Face], where: object) -> list[Face]:
    """Returns the faces. Raises `DataError` where the files of some are missing, or where there are no faces."""
    missing = [face.image for face in faces if isinstance(face.image, Path) and not face.image.is_file()]
    if missing:
        raise DataError(f"{where} names {len(faces)} images, of which {len(missing)} are missing, such as {missing[0]}")
    return some(faces, where, "labelled images")
