"""Classes that a source and its targets have in common, with the labels of all data numbered by them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from .errors import DataError
from .samples import Samples

UNLABELLED = "or read this data without labels, by labelled=False or as a folder with images right in it"


@dataclass(frozen=True)
class Agreed:
    """Data whose labels are numbers of common classes.

    classes: names; the source has samples of each.
    samples: the source and the targets.
    notes: sentences on classes that some data lacks.
    """

    classes: tuple[str, ...]
    samples: list[Samples]
    notes: list[str]


def agree(source: Samples, *targets: Samples) -> Agreed:
    """Returns the source and the targets with the classes that the source has samples of.

    Classes are matched by name; numbers without names count through the names of the other data, if that has any.
    Targets without labels stay as they are.

    Raises:
        DataError: a source without labels, labels out of range, a target with samples of a class that the source has
            no sample of, or fewer than 2 classes.
    """
    if source.labels is None:
        raise DataError(
            f"the source {source.origin} must have labels: class folders with images, a table with a column of labels, "
            "or `labels` or `y` in an .npz"
        )
    every = [source, *targets]
    names = next((data.classes for data in every if data.classes and not data.is_numbered), None)
    named = [labelled(data, names) for data in every]
    classes = tuple(dict.fromkeys(named[0].values()))
    if len(classes) < 2:
        raise DataError(f"there must be at least 2 classes, the source {source.origin} has samples of {list(classes)}")
    left_out = lacking(source, (), classes)
    notes = [f"{left_out}, left out of the classes"] if left_out else []
    for data, of_data in zip(targets, named[1:], strict=True):
        if other := [name for name in of_data.values() if name not in classes]:
            raise DataError(
                f"{data.origin} has samples of {listed(other)}, of which the source {source.origin} has none, only of "
                f"{listed(classes)}; name the folders or labels alike, {UNLABELLED}"
            )
        if of_data and (missing := lacking(data, classes, of_data.values())):
            notes.append(missing)
    return Agreed(classes, [renumbered(*one, classes) for one in zip(every, named, strict=True)], notes)


def labelled(data: Samples, names: tuple[str, ...] | None) -> dict[int, str]:
    """Returns the name of each label that a sample has, in the order of the labels.

    names: of the labels if the data has only numbers; None to keep these.

    Raises:
        DataError: a number beyond the names.
    """
    if data.labels is None or data.classes is None:
        return {}
    found = {label: data.classes[label] for label in torch.unique(data.labels).tolist()}
    if not data.is_numbered or not names:
        return found
    if all(name.isdecimal() for name in names):  # names that are numbers themselves, such as folders 1, 2, 10
        numbers = {int(name): name for name in names}
        return {label: numbers.get(int(number), number) for label, number in found.items()}
    values = [int(number) for number in found.values()]
    if max(values) >= len(names):
        allowed = f"in 0..{len(names) - 1}, for {len(names)} classes"
        raise DataError(f"labels of {data.origin} must be {allowed}, got values from {min(values)} to {max(values)}")
    return {label: names[int(number)] for label, number in found.items()}


def lacking(data: Samples, classes: Iterable[str], found: Iterable[str]) -> str:
    """Returns a note on the classes, its own and the given, that are not among those found; empty for none."""
    known, own = set(found), () if data.is_numbered else data.classes or ()
    names = [name for name in dict.fromkeys([*own, *classes]) if name not in known]
    return f"{data.origin}: no sample of {listed(names)}" if names else ""


def renumbered(data: Samples, named: dict[int, str], classes: tuple[str, ...]) -> Samples:
    """Returns samples with the numbers of their classes as labels; unlabelled ones unchanged."""
    if data.labels is None:
        return data
    values, places = torch.unique(data.labels, return_inverse=True)
    numbers = torch.tensor([classes.index(named[label]) for label in values.tolist()], dtype=torch.int64)
    return replace(data, labels=numbers[places], classes=classes, is_numbered=False)


def listed(names: Sequence[str], most: int = 10) -> str:
    """Returns names, the first ones of many, as a text."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
