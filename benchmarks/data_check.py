"""Check of the data of a task: what is present, what is missing and where to get it."""

from collections.abc import Mapping
from textwrap import indent

import torch

from .tables import as_text
from .tasks import DataError, DataPlace, Need, Task, family_of

PARTS = ("source", "target_train", "target_validation", "target_test")


def check(name: str, place: DataPlace) -> bool:
    """Prints the data that a task has and lacks; returns whether it can run. Raises `DataError` for an unknown name."""
    family = family_of(name)
    print(f"\n{name}\n{indent((family.__doc__ or '').strip(), '  ')}\n")
    is_there = [check_need(need, place) for need in family.needs(name)]
    if not all(is_there):
        return False
    try:
        task = family.load(name, place)
    except DataError as error:
        print(f"The task cannot be made of it: {error}")
        return False
    print(f"{as_text(part_table(task))}\n\nScored by {task.metric.replace('_', ' ')}. Licences: {task.licence}")
    return True


def check_need(need: Need, place: DataPlace) -> bool:
    """Prints the content of a file or folder, or how to get it; returns whether it is valid."""
    try:
        path = place.file(need.name, need.how)
    except DataError as error:
        print(f"{need.name}: MISSING: {error}\n")
        return False
    try:
        counts = need.count(path)
    except DataError as error:
        print(f"{need.name}: NOT AS IT SHOULD BE: {error}\n{need.how}\n")
        return False
    print(f"{need.name}: {sum(counts.values())} samples: {listed(counts)}\n")
    return True


def listed(counts: Mapping[str, int]) -> str:
    """Returns the number of samples of each class as text."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def part_table(task: Task) -> list[list[str]]:
    """Returns a table with one row per part of the task and its number of samples of each class."""
    rows = [["part", "samples", *task.classes]]
    for part in PARTS:
        split = getattr(task, part)
        counts = torch.bincount(split.known_labels, minlength=len(task.classes))
        rows.append([part, str(len(split)), *map(str, counts.tolist())])
    return rows
