"""Studies: what README and docs quote, each described by a file `studies/NAME.toml`.

A study is a grid of runs (`tasks`, `methods`, `seeds`, and `steps`, `network`, `score_on` where they are not the usual
ones), or all runs of other studies (`of`), or measurements (`commands`: by file the commands that write it).
`picture` is what README or docs show of it, one of `quotes.DRAWN`.
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
    """What a file says.

    keeps_features: keep some features of the first seed, for pictures.
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
        """How its runs train and score."""
        return Plan(steps=self.steps, network=self.network, score_on=self.score_on)

    @property
    def keys(self) -> list[tuple[str, str, int]]:
        """Task, method and seed of its runs."""
        return [(task, name, seed) for task in self.tasks for name in self.methods for seed in self.seeds]

    @property
    def parts(self) -> list["Study"]:
        """The studies whose runs it has: others, or itself."""
        return [read_study(name) for name in self.of] or [self]


def study_names() -> list[str]:
    """Returns the names of all studies."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_study(name: str) -> Study:
    """Returns a study. Raises `ValueError` for an unknown one, or a file with other keys than those of `Study`."""
    if name not in study_names():
        raise ValueError(f"there is no study {name!r}; there are {', '.join(study_names())}")
    told: dict[str, Any] = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    if unknown := told.keys() - {one.name for one in fields(Study)}:
        raise ValueError(f"{name}.toml has unknown keys: {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}
    return Study(**{"name": name, **values})


@dataclass(frozen=True)
class State:
    """How much of a study is there.

    total: number of its runs or, of measurements, files.
    missing, stale: which of them, by `key_of` or name; stale ones were made by other code or versions than today's.
    hours: training time of the runs that are there, None for measurements.
    """

    total: int
    missing: list[Any]
    stale: list[Any]
    hours: float | None = None


def state(study: Study, table: Path = TABLE) -> State:
    """Returns how much of a study's runs is in the table or, of measurements, how many of its files are there."""
    if study.commands:
        files = {name: ROOT / name for name in study.commands}
        there = {name: path for name, path in files.items() if path.is_file()}
        told = {name: json.loads(path.read_text()) for name, path in there.items() if path.suffix == ".json"}
        stale = [name for name, result in told.items() if is_stale(result)]
        return State(len(files), [name for name in files if name not in there], stale)
    states = [grid_state(part, table) for part in study.parts]
    hours = sum(one.hours or 0.0 for one in states)
    missing, stale = ([key for one in states for key in getattr(one, what)] for what in ("missing", "stale"))
    return State(sum(one.total for one in states), missing, stale, hours)


def grid_state(study: Study, table: Path = TABLE) -> State:
    """Returns how much of a study of its own runs is in the table."""
    there = {key_of(run): run for run in map(result_of, read_rows(table, study.name)) if is_of(study, run)}
    found = {key: there[key] for key in study.keys if key in there}
    stale = [key for key, run in found.items() if is_stale(run)]
    hours = sum(run["steps"] * run["seconds_per_step"] for run in found.values()) / 3600
    return State(len(study.keys), [key for key in study.keys if key not in found], stale, hours)


def is_of(study: Study, run: Result) -> bool:
    """Whether a run was trained and scored as the study says."""
    told = run["steps"], run["settings"]["network"], run["score_on"]
    return told == (study.steps, study.network, study.score_on)
