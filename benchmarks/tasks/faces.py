"""Facial expressions: FER2013 (web images) and muxspace (press photographs), 48 x 48, five expressions."""

import numpy as np
import torch

from dmsrl_adapt.data import open_data
from dmsrl_adapt.data.arrays import read_arrays

from .images import count_labels, resized, stacked
from .task import DataPlace, Fractions, Need, Split, Task

NAMES = ("fer2013-muxspace", "muxspace-fer2013")
LICENCE = "FER2013: none stated (Goodfellow et al., 2013); muxspace/facial_expressions: Apache-2.0"
EXPRESSIONS = ("anger", "happiness", "neutral", "sadness", "surprise")
SIZE = 48
HOW = "See benchmarks/README.md for the format."
ADDRESSES = """\
FER2013: https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge
muxspace: https://github.com/muxspace/facial_expressions"""


def needs(name: str) -> tuple[Need, ...]:
    """Returns the files that a task needs."""
    files = ["fer2013_train.npz", "muxspace.npz", *(["fer2013_test.npz"] if name == "muxspace-fer2013" else [])]
    return tuple(Need(file, f"{HOW}\n{ADDRESSES}", count_labels) for file in files)


def load(name: str, place: DataPlace) -> Task:
    """Returns the task, scored by balanced accuracy, because 94 % of muxspace are neutral or happy.

    A muxspace target is split by person, if persons are known.
    """
    if name == "fer2013-muxspace":
        source, _ = read_domain("fer2013_train", place)
        parts = person_disjoint(*read_domain("muxspace", place))
    else:
        source, _ = read_domain("muxspace", place)
        train, validation, rest = Fractions(0.8, 0.2).cut(read_domain("fer2013_train", place)[0])
        assert not len(rest)
        parts = (train, validation, read_domain("fer2013_test", place)[0])
    return Task(name, EXPRESSIONS, source, *parts, metric="balanced_accuracy", licence=LICENCE)


def read_domain(name: str, place: DataPlace) -> tuple[Split, np.ndarray | None]:
    """Returns the images of the five expressions and, if known, the person in each."""
    path = place.file(f"{name}.npz", HOW)
    arrays = read_arrays(path, ("subject",), required=("jpeg_bytes", "offsets", "labels", "classes"))
    numbers = {expression: number for number, expression in enumerate(EXPRESSIONS)}
    labels = np.array([numbers.get(expression, -1) for expression in arrays["classes"].tolist()])[arrays["labels"]]
    kept, images = stacked(open_data(arrays).take(torch.as_tensor(labels >= 0)))
    rows = kept.names.rows.numpy()
    subjects = arrays["subject"][rows] if "subject" in arrays else None
    return Split(resized(images, SIZE), torch.as_tensor(labels[rows])), subjects


def person_disjoint(pool: Split, subjects: np.ndarray | None) -> tuple[Split, Split, Split]:
    """Returns three parts with 50 : 20 : 30 of the persons, or of the samples if persons are unknown."""
    if subjects is None:
        return Fractions().cut(pool)
    persons = np.random.RandomState(0).permutation(np.unique(subjects))
    groups = np.split(persons, [round(len(persons) * end) for end in (0.5, 0.7)])
    first, second, third = (pool.take(torch.as_tensor(np.isin(subjects, group))) for group in groups)
    return first, second, third
