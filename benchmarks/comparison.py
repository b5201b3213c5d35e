"""What a method gains or spoils on a task, and how methods rank over tasks."""

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
    """Returns the headline scores of both, in per cent, seed by seed: of the seeds that both have."""
    ours, theirs = by_seed(runs), by_seed(others)
    seeds = sorted(ours.keys() & theirs.keys())
    return np.array([ours[seed] for seed in seeds]), np.array([theirs[seed] for seed in seeds])


def paired_gaps(tasks: Tasks, name: str, other: str) -> dict[str, np.ndarray]:
    """Returns by task how far a method is above another, in points, a number for each seed that both have. Tasks on
    which they share no seed are left out."""
    pairs = {task: paired(methods.get(name, []), methods.get(other, [])) for task, methods in tasks.items()}
    return {task: ours - theirs for task, (ours, theirs) in pairs.items() if len(ours)}


def against(runs: list[Result], others: list[Result]) -> tuple[float, float] | None:
    """Returns how far a method is above another on a task, in points, and the standard error of that over the seeds
    that both have; None where they have none, an error of NaN where they have one."""
    ours, theirs = paired(runs, others)
    gaps = ours - theirs
    if not len(gaps):
        return None
    return float(gaps.mean()), float(gaps.std(ddof=1) / math.sqrt(len(gaps))) if len(gaps) > 1 else math.nan


def is_negative_transfer(runs: list[Result], floor: list[Result]) -> bool:
    """Whether a method is below source-only training by more than one standard error; with one seed nobody knows."""
    found = against(runs, floor)
    return found is not None and found[0] < -found[1]


def is_level(runs: list[Result], others: list[Result]) -> bool:
    """Whether a method is not below another by more than one standard error; with one seed nobody knows."""
    found = against(runs, others)
    return found is not None and found[0] >= -found[1]


def gap_closed(runs: list[Result], methods: Mapping[str, list[Result]]) -> float | None:
    """Returns the share of the way from source-only training to training on target labels; below 0 or above 1 where a
    method is outside. None where one of the two was not run or the second is not the better."""
    three = methods.get(FLOOR, []), runs, methods.get(CEILING, [])
    if not all(map(by_seed, three)):
        return None
    first, mean, last = map(headline, three)
    return (mean - first) / (last - first) if last > first else None


def ranks_of(tasks: Tasks, names: Sequence[str]) -> np.ndarray:
    """Returns the ranks of methods on each task by their mean over seeds, shape (tasks, methods): 1 is best, equal ones
    share theirs."""
    means = np.array([[headline(methods[name]) for name in names] for methods in tasks.values()])
    return np.array([rankdata(-of_task) for of_task in means])


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over tasks, 1 is best.

    ranks: by method.
    critical: difference from which on two mean ranks differ by Nemenyi's test at 5 %.
    p: of Friedman's test that all methods are alike, None with two methods.
    num_tasks: over which it goes.
    """

    ranks: dict[str, float]
    critical: float
    p: float | None
    num_tasks: int

    @property
    def groups(self) -> list[list[str]]:
        """The largest sets of methods of which no two differ, best first."""
        ordered = sorted(self.ranks, key=lambda name: self.ranks[name])
        groups: list[list[str]] = []
        for start, first in enumerate(ordered):
            group = [name for name in ordered[start:] if self.ranks[name] - self.ranks[first] <= self.critical]
            if len(group) > 1 and not (groups and set(group) <= set(groups[-1])):
                groups.append(group)
        return groups


def ranking(tasks: Tasks) -> Ranking | None:
    """Ranks the methods that were run on all tasks, which have labels, without the ceiling, by their mean over seeds
    (Demsar, JMLR 2006); None where there are fewer than two of either."""
    names = [name for name in shared_methods(tasks) if name != CEILING]
    if len(tasks) < 2 or len(names) < 2:
        return None
    ranks = ranks_of(tasks, names)
    count, num_tasks = len(names), len(tasks)
    quantile = studentized_range.ppf(0.95, count, math.inf) / math.sqrt(2)
    critical = float(quantile * math.sqrt(count * (count + 1) / (6 * num_tasks)))
    p = float(friedmanchisquare(*ranks.T).pvalue) if count > 2 else None
    return Ranking(dict(zip(names, map(float, ranks.mean(0)), strict=True)), critical, p, num_tasks)
