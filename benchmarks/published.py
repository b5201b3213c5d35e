"""Results that others have published, with where they stand, how they were made, and what to mind."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from .results import Result
from .tables import headline, label, percent

FILE = Path(__file__).with_name("published.json")
# our names of methods that papers name otherwise; the others by their name in small letters
OUR_NAMES = {"DAN": "mmd", "JAN": "jmmd"}


class Figures(TypedDict, total=False):
    """What is published of a method.

    scores: one a column.
    mean: as the source has it.
    original: the mean in the paper of the method itself, where it is known.
    """

    scores: list[float]
    mean: float
    original: float


@dataclass(frozen=True)
class Published:
    """A table of published results, in per cent.

    columns: its tasks, as the source calls them.
    tasks: the same as they are called here.
    methods: what is published of each, by name.
    """

    name: str
    source: str
    protocol: str
    caveat: str
    columns: tuple[str, ...]
    tasks: tuple[str, ...]
    methods: Mapping[str, Figures]

    @property
    def text(self) -> str:
        """Where the figures stand and what to mind."""
        return f"{self.name}. Source: {self.source}. Protocol: {self.protocol}. Mind: {self.caveat}."

    def rows(self, tasks: Mapping[str, Mapping[str, list[Result]]]) -> list[list[str]]:
        """Returns a row for each published method, and below each ours of the same name; then the rest of ours.

        tasks: our own results by task and method; empty for the published ones alone.
        """
        own = {name: self.own_row(name, tasks) for methods in tasks.values() for name in methods}
        own = {name: row for name, row in own.items() if any(cell != "-" for cell in row[3:])}
        rows = [["method", "whose", "mean", *self.columns, "mean in its own paper"]]
        for name, told in self.methods.items():
            scores, original = told["scores"], told.get("original")
            cells = [f"{score:.1f}" for score in scores]
            rows.append([name, "published", f"{told['mean']:.1f}", *cells, "-" if original is None else f"{original}"])
            if (row := own.pop(OUR_NAMES.get(name, name.lower()), None)) is not None:
                rows.append(row)
        return [*rows, *own.values()]

    def own_row(self, name: str, tasks: Mapping[str, Mapping[str, list[Result]]]) -> list[str]:
        """Returns our results of a method in the order of the columns, "-" for a task that was not run."""
        found = [tasks.get(task, {}).get(name) for task in self.tasks]
        cells = ["-" if runs is None else percent(runs, runs[0]["metric"]) for runs in found]
        known = [headline(runs) for runs in found if runs]
        mean = f"{sum(known) / len(known):.1f}" if len(known) == len(found) else "-"
        return [label(name, (run for runs in found for run in runs or [])), "ours", mean, *cells, "-"]


def published() -> list[Published]:
    """Returns all tables."""
    tables: list[dict[str, Any]] = json.loads(FILE.read_text())
    return [Published(**{**one, "columns": tuple(one["columns"]), "tasks": tuple(one["tasks"])}) for one in tables]
