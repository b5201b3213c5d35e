"""MNIST to USPS with other class frequencies in the target: very unequal, or with three classes missing."""

from dataclasses import replace

import torch

from . import digits
from .task import DataPlace, Need, Split, Task

SKEWED, MISSING = "mnist-usps-skewed", "mnist-usps-missing"
NAMES = (SKEWED, MISSING)
LICENCE = digits.LICENCE
RATIO = 20  # most frequent to least frequent class
ABSENT = (7, 8, 9)


def needs(name: str) -> tuple[Need, ...]:
    """Returns the files that a task needs."""
    return digits.needs("mnist-usps")


def load(name: str, place: DataPlace) -> Task:
    """Returns `mnist-usps` with fewer target images.

    Skewed: the frequencies of classes 0 to 9 fall geometrically by 20 : 1 in the training and validation parts. All
    test images are kept, and scored by balanced accuracy. Missing: no 7, 8 or 9 in any part of the target.
    """
    task = replace(digits.load("mnist-usps", place), name=name)
    if name == SKEWED:
        train, validation = skewed(task.target_train), skewed(task.target_validation)
        return replace(task, target_train=train, target_validation=validation, metric="balanced_accuracy")
    train, validation, test = map(without, (task.target_train, task.target_validation, task.target_test))
    return replace(task, target_train=train, target_validation=validation, target_test=test)


def skewed(split: Split) -> Split:
    """Returns the first images of each class: for class k, RATIO^(-k/9) times the number of class 0, if available."""
    labels = split.known_labels
    rows = [torch.nonzero(labels == k)[:, 0] for k in range(10)]
    kept = [of_class[: max(1, round(len(rows[0]) * RATIO ** (-k / 9)))] for k, of_class in enumerate(rows)]
    return split.take(torch.cat(kept).sort().values)


def without(split: Split) -> Split:
    """Returns the images without those of the classes ABSENT."""
    return split.take(~torch.isin(split.known_labels, torch.tensor(ABSENT)))
