"""MNIST to USPS where the target's classes are mixed otherwise than the source's: very unequal, or three missing."""

from dataclasses import replace

import torch

from . import digits
from .task import DataPlace, Need, Split, Task

SKEWED, MISSING = "mnist-usps-skewed", "mnist-usps-missing"
NAMES = (SKEWED, MISSING)
LICENCE = digits.LICENCE
RATIO = 20  # of the most to the least frequent class
ABSENT = (7, 8, 9)


def needs(name: str) -> tuple[Need, ...]:
    """Returns the files that a task is made of."""
    return digits.needs("mnist-usps")


def load(name: str, place: DataPlace) -> Task:
    """Returns `mnist-usps` with fewer target images.

    Skewed: in the parts for training and validation class frequencies fall from 0 to 9 in even steps, 20 : 1; all test
    images are kept and count by balanced accuracy. Missing: no 7, 8 or 9 in any part of the target.
    """
    task = replace(digits.load("mnist-usps", place), name=name)
    if name == SKEWED:
        train, validation = skewed(task.target_train), skewed(task.target_validation)
        return replace(task, target_train=train, target_validation=validation, metric="balanced_accuracy")
    train, validation, test = map(without, (task.target_train, task.target_validation, task.target_test))
    return replace(task, target_train=train, target_validation=validation, target_test=test)


def skewed(split: Split) -> Split:
    """Returns the first images of every class, RATIO^(-k/9) times as many of class k as there are of class 0."""
    labels = split.known_labels
    rows = [torch.nonzero(labels == k)[:, 0] for k in range(10)]
    kept = [of_class[: max(1, round(len(rows[0]) * RATIO ** (-k / 9)))] for k, of_class in enumerate(rows)]
    return split.take(torch.cat(kept).sort().values)


def without(split: Split) -> Split:
    """Returns the images of the classes that are not ABSENT."""
    return split.take(~torch.isin(split.known_labels, torch.tensor(ABSENT)))
