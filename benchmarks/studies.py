"""Studies: the experiments that README and docs quote, each described by a file `studies/NAME.toml`.

A study is a grid of runs (`tasks`, `methods`, `seeds`, and optionally `steps`, `network`, `score_on`), or all runs of
other studies (`of`), or measurements (`commands`: for each file the commands that write it). `picture` is the figure
that README or docs show, one of `quotes.DRAWN`.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .provenance import ROOT, is_stale
from .results import Result, key_of
from .runs import TABLE, read_rows, result_of
from .training import Plan

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).with_name("studies")


@dataclass(frozen=True)
class Study:
    """The content of a study's file.

    keeps_features: keep some features of the first seed, for figures.
    """

    name: str
    title: str
    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    steps: int = 400
    network: str = "small"
    score_on: str = "test"
    keeps_features: bool = False
    of: tuple[str, ...] = ()
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    picture: str | None = None

    @property
    def plan(self) -> Plan:
        """The plan of its runs."""
        return Plan(steps=self.steps, network=self.network, score_on=self.score_on)

    @property
    def keys(self) -> list[tuple[str, str, int]]:
        """Task, method and seed of its runs."""
        return [(task, name, seed) for task in self.tasks for name in self.methods for seed in self.seeds]

    @property
    def parts(self) -> list["Study"]:
        """The studies that it consists of: others, or itself."""
        return [read_study(name) for name in self.of] or [self]


def study_names() -> list[str]:
    """Returns the names of all studies."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_study(name: str) -> Study:
    """Returns a study. Raises `ValueError` for an unknown name or unknown keys in the file."""
    if name not in study_names():
        raise ValueError(f"there is no study {name!r}; there are {', '.join(study_names())}")
    content: dict[str, Any] = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    if unknown := content.keys() - {one.name for one in fields(Study)}:
        raise ValueError(f"{name}.toml has unknown keys: {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    return Study(**{"name": name, **values})


@dataclass(frozen=True)
class State:
    """Progress of a study.

    total: number of its runs, or of its files for measurements.
    missing, stale: keys (`key_of`) or file names; stale ones were made by other code or versions than the current ones.
    hours: training time of the finished runs; None for measurements.
    """

    total: int
    missing: list[Any]
    stale: list[Any]
    hours: float | None = None


def state(study: Study, table: Path = TABLE) -> State:
    """Returns which runs of a study are in the table or, for measurements, which of its files exist."""
    if study.commands:
        files = {name: ROOT / name for name in study.commands}
        there = {name: path for name, path in files.items() if path.is_file()}
        results = {name: json.loads(path.read_text()) for name, path in there.items() if path.suffix == ".json"}
        stale = [name for name, result in results.items() if is_stale(result)]
        return State(len(files), [name for name in files if name not in there], stale)
    states = [grid_state(part, table) for part in study.parts]
    hours = sum(one.hours or 0.0 for one in states)
    missing, stale = ([key for one in states for key in getattr(one, what)] for what in ("missing", "stale"))
    return State(sum(one.total for one in states), missing, stale, hours)


def grid_state(study: Study, table: Path = TABLE) -> State:
    """Returns which runs of a study without parts are in the table."""
    there = {key_of(run): run for run in map(result_of, read_rows(table, study.name)) if is_of(study, run)}
    found = {key: there[key] for key in study.keys if key in there}
    stale = [key for key, run in found.items() if is_stale(run)]
    hours = sum(run["steps"] * run["seconds_per_step"] for run in found.values()) / 3600
    return State(len(study.keys), [key for key in study.keys if key not in found], stale, hours)


def is_of(study: Study, run: Result) -> bool:
    """Whether a run has the steps, network and scoring part of the study."""
    of_run = run["steps"], run["settings"]["network"], run["score_on"]
    return of_run == (study.steps, study.network, study.score_on)
