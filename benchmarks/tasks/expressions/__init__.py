"""Facial expressions: RAF-DB to eight other databases as their owners distribute them, 48 x 48, seven expressions.

With `_aligned`, faces are aligned by five landmarks. With `_whole`, all target images are for both training and
scoring.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from dmsrl_adapt import align_faces
from dmsrl_adapt.backbones import face_landmarks
from dmsrl_adapt.data import DataError
from dmsrl_adapt.data.decode import decode
from dmsrl_adapt.trainer.frozen_features import cache_folder

from ..faces import person_disjoint
from ..images import to_images
from ..task import DataPlace, Fractions, Need, Split, Task
from . import affectnet, ckplus, expw, fer2013, jaffe, mmi, oulucasia, rafdb, sfew
from .database import EXPRESSIONS, Database, Face

SOURCE = rafdb.DATABASE
TARGETS = {one.DATABASE.name: one.DATABASE for one in (affectnet, ckplus, expw, fer2013, jaffe, mmi, oulucasia, sfew)}
# laboratory databases, for which published comparisons train without labels and score on the same images
WHOLE = ("ckplus", "jaffe", "mmi", "oulucasia")
NAMES = tuple(
    f"rafdb{aligned}-{target}" for aligned in ("", "_aligned") for target in (*TARGETS, *(f"{x}_whole" for x in WHOLE))
)
LICENCE = "a database each, for research by agreement; `python -m benchmarks data check TASK` has the addresses"
SIZE = 48
AT_MOST = 20_000  # images of a part, or of a database without parts; larger ones are subsampled to save memory


def needs(name: str) -> tuple[Need, ...]:
    """Returns the folders that a task needs."""
    return tuple(Need(one.name, one.how, one.count) for one in (SOURCE, target_of(name)))


def load(name: str, place: DataPlace) -> Task:
    """Returns the task, scored by balanced accuracy.

    The source is RAF-DB's training part. The target has its owners' parts, or else person-disjoint ones. Raises
    `DataError` if a database lacks an expression.
    """
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
    """Returns the target database of a task."""
    return TARGETS[name.partition("-")[2].removesuffix("_whole")]


def labelled_faces(database: Database, place: DataPlace) -> list[Face]:
    """Returns the faces of the seven expressions in a database. Raises `DataError` if one of them has no faces."""
    faces = [face for face in database.read(place.file(database.name, database.how)) if face.expression]
    missing = sorted(set(EXPRESSIONS) - {str(face.expression) for face in faces})
    if missing:
        raise DataError(f"{database.title} in {place.folder} has no images of {', '.join(missing)}")
    return faces


def owners_parts(faces: Sequence[Face], is_aligned: bool) -> tuple[Split, Split, Split]:
    """Returns the owners' parts; without a validation part, it is 20 % of the training part."""
    train, validation, test = ([face for face in faces if face.part == p] for p in ("train", "validation", "test"))
    pool = split_of(at_most(train), is_aligned)
    scored = split_of(at_most(test), is_aligned)
    if validation:
        return pool, split_of(at_most(validation), is_aligned), scored
    return (*Fractions(0.8, 0.2).cut(pool)[:2], scored)


def at_most(faces: Sequence[Face]) -> list[Face]:
    """Returns at most AT_MOST of the faces, the same at every call."""
    rows = np.random.RandomState(0).permutation(len(faces))[:AT_MOST]
    return [faces[row] for row in sorted(rows)]


def split_of(faces: Sequence[Face], is_aligned: bool) -> Split:
    """Returns images and labels of faces."""
    if not faces:
        return Split(torch.zeros(0, 3, SIZE, SIZE, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
    images = aligned_images(faces) if is_aligned else torch.cat([to_images(x[None], SIZE) for x in pixels(faces)])
    return Split(images, torch.tensor([EXPRESSIONS.index(str(face.expression)) for face in faces]))


def aligned_images(faces: Sequence[Face]) -> Tensor:
    """Returns faces aligned by landmarks, which are cached in the user's cache folder; see `align_faces`."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    # decoded twice, because all images at once may not fit into memory
    images, again = ((torch.as_tensor(x).permute(2, 0, 1) for x in pixels(faces)) for _ in range(2))
    with FileLock(folder / ".landmarks.lock"):  # parallel runs use the same file
        landmarks = face_landmarks(images, folder)
    return align_faces(again, landmarks, SIZE)


def pixels(faces: Sequence[Face]) -> Iterator[np.ndarray]:
    """Returns an iterator over the pixels of the faces."""
    return (pixels_of(face) for face in faces)


def pixels_of(face: Face) -> np.ndarray:
    """Returns a face, cropped to its box if it has one, as RGB, uint8 (H, W, 3)."""
    if isinstance(face.image, np.ndarray):
        return np.repeat(face.image[:, :, None], 3, axis=2)
    image = np.array(decode(face.image, str(face.image)).pixels)
    if face.box is None:
        return image
    left, top, right, bottom = (max(0, edge) for edge in face.box)
    cut = image[top:bottom, left:right]
    if not cut.size:
        raise DataError(f"{face.image} is {image.shape[1]} x {image.shape[0]}, its box {face.box} is not in it")
    return cut
