"""Methods over several tasks: means, ranks, what adaptation spoils, and a paired test of ours against each."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from scipy.stats import wilcoxon

from .comparison import CEILING, FLOOR, OURS, Tasks, is_level, paired_gaps, ranks_of, scored, shared_methods
from .results import Result
from .tables import by_task_and_method, headline, label

TESTS = ("p (task x seed)", "p (tasks)")
NAMED = 4  # tasks up to which they are named, not counted


def overview(results: list[Result]) -> list[list[str]]:
    """Returns the rows of a table over tasks, best mean first, of the methods that were run on all tasks.

    Columns: mean over tasks of the mean over seeds; mean rank among the methods shown but the ceiling; tasks on which
    the method is best of these; tasks on which it is best or, over seeds, not below the best by more than one standard
    error of their difference; its worst difference to source-only training, and on which task; difference of ours to
    the method and two-sided p of Wilcoxon signed-rank tests, one over the pairs of task and seed that both have, which
    takes the seeds of a task for independent, one over the mean differences of the tasks, which is never below 2 / 2^T
    with T tasks. Empty where there are fewer than two tasks.
    """
    tasks = scored(by_task_and_method(results))
    shared = shared_methods(tasks) if len(tasks) > 1 else []
    if not shared:
        return []
    scores = {name: {task: headline(methods[name]) for task, methods in tasks.items()} for name in shared}
    means = {name: float(np.mean(list(of_task.values()))) for name, of_task in scores.items()}
    places = places_of(tasks, [name for name in shared if name != CEILING])
    head = ["method", "mean", "mean rank", "best on", "best or tied", "worst against source_only", "dmsrl minus it"]
    rows = [[*head, *TESTS]]
    for name in sorted(shared, key=lambda name: -means[name]):
        rows.append(
            [
                label(name, (run for methods in tasks.values() for run in methods[name])),
                f"{means[name]:.1f}",
                *places.get(name, ["-"] * 3),
                worst(scores[name], scores[FLOOR]) if FLOOR in shared and name != FLOOR else "-",
                *difference(paired_gaps(tasks, OURS, name) if OURS in shared and name != OURS else {}),
            ]
        )
    return rows


def places_of(tasks: Tasks, names: list[str]) -> dict[str, list[str]]:
    """Returns by method its mean rank, on how many tasks it is best, and on how many best or tied, as `overview` shows
    them."""
    ranks, cells = ranks_of(tasks, names), {}
    for name, own in zip(names, ranks.T, strict=True):
        is_best = own == ranks.min(1)
        best = [(of[name], of[names[first]]) for of, first in zip(tasks.values(), ranks.argmin(1), strict=True)]
        is_tied = is_best | [is_level(*runs) for runs in best]
        cells[name] = [f"{own.mean():.1f}", *(f"{on.sum()} of {len(tasks)}" for on in (is_best, is_tied))]
    return cells


def left_out(results: list[Result]) -> str:
    """Says which methods `overview` leaves out because some task lacks them, and which task; empty where none does."""
    tasks = scored(by_task_and_method(results))
    lacking = defaultdict(list)
    for name in sorted({name for methods in tasks.values() for name in methods}):
        if missing := tuple(task for task, methods in tasks.items() if name not in methods):
            lacking[missing].append(f"`{name}`")
    told = []
    for missing, names in lacking.items():
        where = ", ".join(missing) if len(missing) <= NAMED else f"{len(missing)} of {len(tasks)} tasks"
        told.append(f"{', '.join(names)} (not on {where})")
    return f"Not run on every task, so left out of means and ranks: {'; '.join(told)}." if told else ""


def worst(scores: Mapping[str, float], floor: Mapping[str, float]) -> str:
    """The task on which adaptation gains least, or loses most."""
    task = min(scores, key=lambda task: scores[task] - floor[task])
    return f"{scores[task] - floor[task]:+.1f} ({task})"


def difference(gaps: Mapping[str, np.ndarray]) -> tuple[str, str, str]:
    """Mean over tasks of what ours is above another, and the p of `TESTS`.

    gaps: by task, see `paired_gaps`.
    """
    if not gaps:
        return "-", "-", "-"
    means = np.array([of_task.mean() for of_task in gaps.values()])
    return f"{means.mean():+.1f}", paired_p(np.concatenate(list(gaps.values()))), paired_p(means)


def paired_p(gaps: np.ndarray) -> str:
    """Two-sided p of a Wilcoxon signed-rank test."""
    p = wilcoxon(gaps).pvalue if np.any(gaps) else 1.0
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
