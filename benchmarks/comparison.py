"""What a method gains or spoils on a task, and how methods rank over tasks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from .results import Result

OURS, FLOOR, CEILING = "dmsrl", "source_only", "target_supervised"
MARK = "▼"  # negative transfer
Tasks = Mapping[str, Mapping[str, list[Result]]]


def by_seed(runs: list[Result]) -> dict[int, float]:
    """Last-step headline by seed, in per cent; without runs that have no labels."""
    return {run["seed"]: 100 * run[run["metric"]]["last"] for run in runs if run[run["metric"]]["last"] is not None}


def scored(tasks: Tasks) -> dict[str, Mapping[str, list[Result]]]:
    """Gives the tasks whose targets have labels."""
    return {task: methods for task, methods in tasks.items() if all(map(by_seed, methods.values()))}


def against_floor(runs: list[Result], floor: list[Result]) -> tuple[float, float] | None:
    """Gives mean difference to source-only training and its standard error over the seeds that both have; None where
    they have none, an error of NaN where they have one."""
    ours, theirs = by_seed(runs), by_seed(floor)
    gaps = np.array([ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())])
    if not len(gaps):
        return None
    return float(gaps.mean()), float(gaps.std(ddof=1) / math.sqrt(len(gaps))) if len(gaps) > 1 else math.nan


def is_negative_transfer(runs: list[Result], floor: list[Result]) -> bool:
    """Whether a method is below source-only training by more than one standard error; with one seed nobody knows."""
    found = against_floor(runs, floor)
    return found is not None and found[0] < -found[1]


def gap_closed(runs: list[Result], methods: Mapping[str, list[Result]]) -> float | None:
    """Gives the share of the way from source-only training to training on target labels; below 0 or above 1 where a
    method is outside. None where one of the two was not run or the second is not the better."""
    low, own, high = (by_seed(of_method) for of_method in (methods.get(FLOOR, []), runs, methods.get(CEILING, [])))
    if not (low and own and high):
        return None
    first, mean, last = (float(np.mean(list(scores.values()))) for scores in (low, own, high))
    return (mean - first) / (last - first) if last > first else None


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
    names = sorted(set.intersection(*(set(methods) for methods in tasks.values())) - {CEILING}) if tasks else []
    if len(tasks) < 2 or len(names) < 2:
        return None
    means = np.array([[np.mean(list(by_seed(methods[name]).values())) for name in names] for methods in tasks.values()])
    ranks = np.array([rankdata(-row) for row in means])
    count, num_tasks = len(names), len(tasks)
    quantile = studentized_range.ppf(0.95, count, math.inf) / math.sqrt(2)
    critical = float(quantile * math.sqrt(count * (count + 1) / (6 * num_tasks)))
    p = float(friedmanchisquare(*means.T).pvalue) if count > 2 else None
    return Ranking(dict(zip(names, map(float, ranks.mean(0)), strict=True)), critical, p, num_tasks)
