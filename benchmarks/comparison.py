"""Differences between methods on a task, negative transfer, and mean ranks over tasks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from .results import Result
from .tables import by_seed, headline

OURS, FLOOR, CEILING = "dmsrl", "source_only", "target_supervised"
MARK = "▼"  # negative transfer
Tasks = Mapping[str, Mapping[str, list[Result]]]


def scored(tasks: Tasks) -> dict[str, Mapping[str, list[Result]]]:
    """Returns the tasks whose targets have labels."""
    return {task: methods for task, methods in tasks.items() if all(map(by_seed, methods.values()))}


def shared_methods(tasks: Tasks) -> list[str]:
    """Returns the methods that were run on all tasks, by name."""
    return sorted(set.intersection(*map(set, tasks.values()))) if tasks else []


def paired(runs: list[Result], others: list[Result]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the headline scores of two methods, in per cent, for the seeds that both have."""
    ours, theirs = by_seed(runs), by_seed(others)
    seeds = sorted(ours.keys() & theirs.keys())
    return np.array([ours[seed] for seed in seeds]), np.array([theirs[seed] for seed in seeds])


def paired_gaps(tasks: Tasks, name: str, other: str) -> dict[str, np.ndarray]:
    """Returns, by task, the differences between two methods in points, one per seed that both have. Tasks without a
    common seed are left out."""
    pairs = {task: paired(methods.get(name, []), methods.get(other, [])) for task, methods in tasks.items()}
    return {task: ours - theirs for task, (ours, theirs) in pairs.items() if len(ours)}


def against(runs: list[Result], others: list[Result]) -> tuple[float, float] | None:
    """Returns the mean difference between two methods on a task, in points, and its standard error over common seeds.
    Returns None without a common seed; with one, the error is NaN."""
    ours, theirs = paired(runs, others)
    gaps = ours - theirs
    if not len(gaps):
        return None
    return float(gaps.mean()), float(gaps.std(ddof=1) / math.sqrt(len(gaps))) if len(gaps) > 1 else math.nan


def is_negative_transfer(runs: list[Result], floor: list[Result]) -> bool:
    """Whether a method is below source-only training by more than one standard error; False with one seed."""
    found = against(runs, floor)
    return found is not None and found[0] < -found[1]


def is_level(runs: list[Result], others: list[Result]) -> bool:
    """Whether a method is below another by at most one standard error, or above it; False with one seed."""
    found = against(runs, others)
    return found is not None and found[0] >= -found[1]


def gap_closed(runs: list[Result], methods: Mapping[str, list[Result]]) -> float | None:
    """Returns the fraction of the gap between source-only training and training on target labels that is closed; below
    0 or above 1 for scores outside. None if one of the two is missing or the second is not better."""
    three = methods.get(FLOOR, []), runs, methods.get(CEILING, [])
    if not all(map(by_seed, three)):
        return None
    first, mean, last = map(headline, three)
    return (mean - first) / (last - first) if last > first else None


def ranks_of(tasks: Tasks, names: Sequence[str]) -> np.ndarray:
    """Returns the ranks of methods on each task by their mean over seeds, shape (tasks, methods). 1 is best; ties get
    their average rank."""
    means = np.array([[headline(methods[name]) for name in names] for methods in tasks.values()])
    return np.array([rankdata(-of_task) for of_task in means])


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over tasks, 1 is best.

    ranks: by method.
    critical: Nemenyi's critical difference of two mean ranks at 5 %.
    p: p-value of Friedman's test that all methods are equal; None with two methods.
    num_tasks: number of tasks.
    """

    ranks: dict[str, float]
    critical: float
    p: float | None
    num_tasks: int

    @property
    def groups(self) -> list[list[str]]:
        """The largest sets of methods without a significant difference, best first."""
        ordered = sorted(self.ranks, key=lambda name: self.ranks[name])
        groups: list[list[str]] = []
        for start, first in enumerate(ordered):
            group = [name for name in ordered[start:] if self.ranks[name] - self.ranks[first] <= self.critical]
            if len(group) > 1 and not (groups and set(group) <= set(groups[-1])):
                groups.append(group)
        return groups


def ranking(tasks: Tasks) -> Ranking | None:
    """Ranks the methods that were run on all labelled tasks, without the ceiling, by their mean over seeds (Demsar,
    JMLR 2006). Returns None for fewer than two tasks or methods."""
    names = [name for name in shared_methods(tasks) if name != CEILING]
    if len(tasks) < 2 or len(names) < 2:
        return None
    ranks = ranks_of(tasks, names)
    count, num_tasks = len(names), len(tasks)
    quantile = studentized_range.ppf(0.95, count, math.inf) / math.sqrt(2)
    critical = float(quantile * math.sqrt(count * (count + 1) / (6 * num_tasks)))
    p = float(friedmanchisquare(*ranks.T).pvalue) if count > 2 else None
    return Ranking(dict(zip(names, map(float, ranks.mean(0)), strict=True)), critical, p, num_tasks)
