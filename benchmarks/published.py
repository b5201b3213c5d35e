"""Published results of other authors, with source, protocol and caveats."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from .results import Result
from .tables import headline, label, percent

FILE = Path(__file__).with_name("published.json")
# our names of methods that papers call otherwise; for all others it is the lower-case name
OUR_NAMES = {"DAN": "mmd", "JAN": "jmmd"}


class Figures(TypedDict, total=False):
    """Published figures of a method.

    scores: one per column.
    mean: as in the source.
    original: the mean in the method's own paper, if known.
    """

    scores: list[float]
    mean: float
    original: float


@dataclass(frozen=True)
class Published:
    """A table of published results, in per cent.

    columns: its tasks, by their names in the source.
    tasks: the same by their names here.
    methods: figures by method.
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
        """Source, protocol and caveat as text."""
        return f"{self.name}. Source: {self.source}. Protocol: {self.protocol}. Caveat: {self.caveat}."

    def rows(self, tasks: Mapping[str, Mapping[str, list[Result]]]) -> list[list[str]]:
        """Returns a row for each published method, followed by our result of that method, and then our other rows.

        tasks: our own results by task and method; empty for published results only.
        """
        own = {name: self.own_row(name, tasks) for methods in tasks.values() for name in methods}
        own = {name: row for name, row in own.items() if any(cell != "-" for cell in row[3:])}
        rows = [["method", "whose", "mean", *self.columns, "mean in its own paper"]]
        for name, figures in self.methods.items():
            scores, original = figures["scores"], figures.get("original")
            cells = [f"{score:.1f}" for score in scores]
            rows.append(
                [name, "published", f"{figures['mean']:.1f}", *cells, "-" if original is None else f"{original}"]
            )
            if (row := own.pop(OUR_NAMES.get(name, name.lower()), None)) is not None:
                rows.append(row)
        return [*rows, *own.values()]

    def own_row(self, name: str, tasks: Mapping[str, Mapping[str, list[Result]]]) -> list[str]:
        """Returns our results of a method in the order of the columns, "-" for tasks that were not run."""
        found = [tasks.get(task, {}).get(name) for task in self.tasks]
        cells = ["-" if runs is None else percent(runs, runs[0]["metric"]) for runs in found]
        known = [headline(runs) for runs in found if runs]
        mean = f"{sum(known) / len(known):.1f}" if len(known) == len(found) else "-"
        return [label(name, (run for runs in found for run in runs or [])), "ours", mean, *cells, "-"]


def published() -> list[Published]:
    """Returns all tables."""
    tables: list[dict[str, Any]] = json.loads(FILE.read_text())
    return [Published(**{**one, "columns": tuple(one["columns"]), "tasks": tuple(one["tasks"])}) for one in tables]
