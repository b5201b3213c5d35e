"""Facial expressions: RAF-DB to eight other databases as their owners distribute them, 48 x 48, seven expressions.

With `_aligned` faces are turned and cut by five landmarks; with `_whole` all of the target is for training and for
scoring.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from dmsrl_adapt import align_faces
from dmsrl_adapt.backbones import face_landmarks

from ...frozen_features import cache_folder
from ..faces import person_disjoint
from ..images import decode, to_images
from ..task import DataError, DataPlace, Need, Shares, Split, Task
from . import affectnet, ckplus, expw, fer2013, jaffe, mmi, oulucasia, rafdb, sfew
from .database import EXPRESSIONS, Database, Face

SOURCE = rafdb.DATABASE
TARGETS = {one.DATABASE.name: one.DATABASE for one in (affectnet, ckplus, expw, fer2013, jaffe, mmi, oulucasia, sfew)}
# taken in a laboratory: published comparisons train on all of them without labels, and score on the same images
WHOLE = ("ckplus", "jaffe", "mmi", "oulucasia")
NAMES = tuple(
    f"rafdb{aligned}-{target}" for aligned in ("", "_aligned") for target in (*TARGETS, *(f"{x}_whole" for x in WHOLE))
)
LICENCE = "a database each, for research by agreement; `python -m benchmarks data check TASK` has the addresses"
SIZE = 48
AT_MOST = 20_000  # images of a part, or of a database without parts, for memory; of more that many are drawn


def needs(name: str) -> tuple[Need, ...]:
    """Returns the folders that a task is made of."""
    return tuple(Need(one.name, one.how, one.count) for one in (SOURCE, target_of(name)))


def load(name: str, place: DataPlace) -> Task:
    """Returns the task, scored by balanced accuracy: the source's training part, and the target's parts as its owners
    have them, else person-disjoint. Raises `DataError` where a database lacks an expression."""
    target, is_aligned = target_of(name), name.startswith("rafdb_aligned-")
    source = [face for face in labelled_faces(SOURCE, place) if face.part == "train"]
    faces = labelled_faces(target, place)
    if any(face.part for face in faces):
        parts = owners_parts(faces, is_aligned)
    else:
        kept = at_most(faces)
        whole = split_of(kept, is_aligned)
        is_whole, persons = name.endswith("_whole"), np.array([face.subject for face in kept])
        parts = (whole, whole, whole) if is_whole else person_disjoint(whole, persons)
    licence = "; ".join(f"{one.title}: {one.licence}, {one.address}" for one in (SOURCE, target))
    pool = split_of(at_most(source), is_aligned)
    return Task(name, EXPRESSIONS, pool, *parts, metric="balanced_accuracy", licence=licence)


def target_of(name: str) -> Database:
    """Returns the target of a task's name."""
    return TARGETS[name.partition("-")[2].removesuffix("_whole")]


def labelled_faces(database: Database, place: DataPlace) -> list[Face]:
    """Returns the faces of our expressions in a database's folder. Raises `DataError` where one has no faces."""
    faces = [face for face in database.read(place.file(database.name, database.how)) if face.expression]
    missing = sorted(set(EXPRESSIONS) - {str(face.expression) for face in faces})
    if missing:
        raise DataError(f"{database.title} in {place.folder} has no images of {', '.join(missing)}")
    return faces


def owners_parts(faces: Sequence[Face], is_aligned: bool) -> tuple[Split, Split, Split]:
    """Returns the parts that the owners have; where they have none for validation, 20 % of that for training."""
    train, validation, test = ([face for face in faces if face.part == p] for p in ("train", "validation", "test"))
    pool = split_of(at_most(train), is_aligned)
    scored = split_of(at_most(test), is_aligned)
    if validation:
        return pool, split_of(at_most(validation), is_aligned), scored
    return (*Shares(0.8, 0.2).cut(pool)[:2], scored)


def at_most(faces: Sequence[Face]) -> list[Face]:
    """Returns the faces, of more than AT_MOST that many, the same at every call."""
    rows = np.random.RandomState(0).permutation(len(faces))[:AT_MOST]
    return [faces[row] for row in sorted(rows)]


def split_of(faces: Sequence[Face], is_aligned: bool) -> Split:
    """Returns images and labels of faces."""
    if not faces:
        return Split(torch.zeros(0, 3, SIZE, SIZE, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
    images = aligned_images(faces) if is_aligned else torch.cat([to_images(x[None], SIZE) for x in pixels(faces)])
    return Split(images, torch.tensor([EXPRESSIONS.index(str(face.expression)) for face in faces]))


def aligned_images(faces: Sequence[Face]) -> Tensor:
    """Returns faces turned and cut by landmarks, those in which none are found as they are; landmarks are kept in the
    user's cache folder."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    # decoded twice, since all at once may not fit into memory
    images, again = ((torch.as_tensor(x).permute(2, 0, 1) for x in pixels(faces)) for _ in range(2))
    with FileLock(folder / ".landmarks.lock"):  # runs beside each other want the same file
        landmarks = face_landmarks(images, folder)
    return align_faces(again, landmarks, SIZE)


def pixels(faces: Sequence[Face]) -> Iterator[np.ndarray]:
    """Returns the pixels of face after face."""
    return (pixels_of(face) for face in faces)


def pixels_of(face: Face) -> np.ndarray:
    """Returns a face, cut out where it has a box, as RGB, uint8 (H, W, 3)."""
    if isinstance(face.image, np.ndarray):
        return np.repeat(face.image[:, :, None], 3, axis=2)
    image = np.array(decode(face.image, str(face.image)))
    if face.box is None:
        return image
    left, top, right, bottom = (max(0, edge) for edge in face.box)
    cut = image[top:bottom, left:right]
    if not cut.size:
        raise DataError(f"{face.image} is {image.shape[1]} x {image.shape[0]}, its box {face.box} is not in it")
    return cut
