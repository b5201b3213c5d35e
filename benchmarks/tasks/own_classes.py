"""Classes of one's own data: those that the source has samples of, with the labels of all data numbered by them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .task import DataError, Split

UNLABELLED = "a target without labels is a folder with images right in it, or an .npz without `labels` and `y`"


@dataclass(frozen=True)
class Pool:
    """The data at a path.

    path: file or folder.
    split: samples, with labels if the data has them.
    classes: names of the classes, None if the data has only numbers.
    """

    path: Path
    split: Split
    classes: tuple[str, ...] | None

    def labelled(self, names: tuple[str, ...] | None) -> dict[int, str]:
        """Returns the name of each label that a sample has, in the order of the labels.

        names: of the labels if the data has none of its own; None to name labels by their numbers.

        Raises `DataError` for a label out of range.
        """
        found = [] if self.split.labels is None else torch.unique(self.split.labels).tolist()
        if self.classes is None and names and all(name.isdecimal() for name in names):
            # names that are numbers themselves, such as folders 1, 2, 10
            numbers = {int(name): name for name in names}
            return {label: numbers.get(label, str(label)) for label in found}
        names = self.classes or names
        if found and not 0 <= found[0] <= found[-1] < (len(names) if names else found[-1] + 1):
            allowed = f"in 0..{len(names) - 1}, for {len(names)} classes" if names else "at least 0"
            raise DataError(f"labels of {self.path} must be {allowed}, got values from {found[0]} to {found[-1]}")
        return {label: names[label] if names else str(label) for label in found}

    def lacking(self, classes: Iterable[str], found: Iterable[str]) -> str:
        """Returns a note on the classes, its own and the given, that are not among those found; empty for none."""
        known = set(found)
        names = [name for name in dict.fromkeys([*(self.classes or ()), *classes]) if name not in known]
        return f"{self.path}: no sample of {listed(names)}" if names else ""


@dataclass(frozen=True)
class Agreed:
    """Data whose labels are numbers of common classes.

    classes: names; the source has samples of each.
    splits: samples of each pool.
    notes: sentences on classes that some data lacks.
    """

    classes: tuple[str, ...]
    splits: list[Split]
    notes: list[str]


def agree(source: Pool, targets: Sequence[Pool]) -> Agreed:
    """Returns the source and the targets with the classes that the source has samples of.

    Classes are matched by name; numbers without names count through the names of the other data, if that has any.
    Raises `DataError` for labels out of range, for a target with samples of another class, and below 2 classes.
    """
    pools = [source, *targets]
    names = next((pool.classes for pool in pools if pool.classes), None)
    named = [pool.labelled(names) for pool in pools]
    classes = tuple(dict.fromkeys(named[0].values()))
    if len(classes) < 2:
        raise DataError(f"there must be at least 2 classes, the source {source.path} has samples of {list(classes)}")
    left_out = source.lacking((), classes)
    notes = [f"{left_out}, left out of the classes"] if left_out else []
    for pool, of_pool in zip(targets, named[1:], strict=True):
        if other := [name for name in of_pool.values() if name not in classes]:
            raise DataError(
                f"{pool.path} has samples of {listed(other)}, of which the source {source.path} has none, only of "
                f"{listed(classes)} ({UNLABELLED})"
            )
        if of_pool and (lacking := pool.lacking(classes, of_pool.values())):
            notes.append(lacking)
    splits = [numbered(pool.split, of_pool, classes) for pool, of_pool in zip(pools, named, strict=True)]
    return Agreed(classes, splits, notes)


def numbered(split: Split, named: dict[int, str], classes: tuple[str, ...]) -> Split:
    """Returns samples with the numbers of their classes as labels; unlabelled ones unchanged."""
    if split.labels is None:
        return split
    values, places = torch.unique(split.labels, return_inverse=True)
    numbers = torch.tensor([classes.index(named[label]) for label in values.tolist()], dtype=torch.int64)
    return replace(split, labels=numbers[places])


def listed(names: Sequence[str], most: int = 10) -> str:
    """Returns names, the first ones of many, as a text."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
