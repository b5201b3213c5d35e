"""The user's own data: a labelled source, and a target with or without labels."""

import hashlib
import os
import warnings
from pathlib import Path

import torch

from dmsrl_adapt.data import DataError, Samples, agree, open_data
from dmsrl_adapt.trainer.frozen_features import augmented_features, frozen_features

from .images import stacked
from .task import Fractions, Split, Task

LONGEST_NAME = 60  # characters of a path in the name of a task


def load_own(source: Path, target: Path, target_test: Path | None, size: int, network: str) -> Task:
    """Returns the task of adapting from `source` to `target`.

    Without `target_test`, 30 % of the target are kept for scoring. Images are resized to size x size; for the network
    "frozen" they are replaced by frozen features. Target labels, if present, are used for scoring only. The classes are
    those that the source has samples of; a warning names others that are listed and those that a labelled target lacks.
    """
    # twice the size, for a smooth picture after the last step to it
    opened = [open_data(path, size=2 * size) for path in (source, target, *([target_test] if target_test else []))]
    agreed = agree(*opened)
    for note in agreed.notes:
        warnings.warn(note, stacklevel=2)
    read = [split_of(samples, size) for samples in agreed.samples]
    shapes = {tuple(split.inputs.shape[1:]) for split in read}
    if len(shapes) > 1:
        raise DataError(f"source and target must have inputs of one shape, got {sorted(shapes)}")
    splits = [with_frozen_features(split) if network == "frozen" else split for split in read]
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


def split_of(samples: Samples, size: int) -> Split:
    """Returns samples in memory, images as size x size; warns of what the user should know of the files."""
    read, inputs = stacked(samples, size)
    unreadable = samples.left_out[len(samples.skipped) :]
    if unreadable:
        count = "1 image" if len(unreadable) == 1 else f"{len(unreadable)} images"
        warnings.warn(f"{samples.origin}: {count} left out: {unreadable[0][1]}", stacklevel=3)
    for note in samples.notes:
        warnings.warn(note, stacklevel=3)
    return Split(inputs, read.labels)


def with_frozen_features(split: Split) -> Split:
    """Returns images as features of the frozen network; other inputs are unchanged."""
    if split.inputs.dtype != torch.uint8:
        return split
    return Split(frozen_features(split.inputs), split.labels, augmented_features(split.inputs))
