"""Methods over several tasks: means, ranks, negative transfer, and paired tests of our method against each."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from scipy.stats import wilcoxon

from .comparison import CEILING, FLOOR, OURS, Tasks, is_level, paired_gaps, ranks_of, scored, shared_methods
from .results import Result
from .tables import by_task_and_method, headline, label

TESTS = ("p (task x seed)", "p (tasks)")
NAMED = 4  # up to this number, tasks are named instead of counted


def overview(results: list[Result]) -> list[list[str]]:
    """Returns the rows of a table over tasks, best mean first, for the methods that were run on all tasks. Returns no
    rows for fewer than two tasks.

    Columns:
        mean: over tasks, of the mean over seeds.
        mean rank: among the methods shown, except the ceiling.
        best on: number of tasks on which the method is the best of these.
        best or tied: number of tasks on which it is below the best by at most one standard error of their difference.
        worst against source_only: worst difference to source-only training, and its task.
        dmsrl minus it: mean difference of our method to this one.
        p (task x seed): two-sided Wilcoxon signed-rank test over common pairs of task and seed, taken as independent.
        p (tasks): the same test over the mean differences of the tasks; never below 2 / 2^T with T tasks.
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
    """Returns, by method, the cells of `overview` for its mean rank, the tasks on which it is best, and those on which
    it is best or tied."""
    ranks, cells = ranks_of(tasks, names), {}
    for name, own in zip(names, ranks.T, strict=True):
        is_best = own == ranks.min(1)
        best = [(of[name], of[names[first]]) for of, first in zip(tasks.values(), ranks.argmin(1), strict=True)]
        is_tied = is_best | [is_level(*runs) for runs in best]
        cells[name] = [f"{own.mean():.1f}", *(f"{on.sum()} of {len(tasks)}" for on in (is_best, is_tied))]
    return cells


def left_out(results: list[Result]) -> str:
    """Returns a note on the methods that `overview` leaves out, and the tasks that lack them; empty without any."""
    tasks = scored(by_task_and_method(results))
    lacking = defaultdict(list)
    for name in sorted({name for methods in tasks.values() for name in methods}):
        if missing := tuple(task for task, methods in tasks.items() if name not in methods):
            lacking[missing].append(f"`{name}`")
    notes = []
    for missing, names in lacking.items():
        where = ", ".join(missing) if len(missing) <= NAMED else f"{len(missing)} of {len(tasks)} tasks"
        notes.append(f"{', '.join(names)} (not on {where})")
    return f"Not run on every task, so left out of means and ranks: {'; '.join(notes)}." if notes else ""


def worst(scores: Mapping[str, float], floor: Mapping[str, float]) -> str:
    """Returns the smallest difference to source-only training, and its task."""
    task = min(scores, key=lambda task: scores[task] - floor[task])
    return f"{scores[task] - floor[task]:+.1f} ({task})"


def difference(gaps: Mapping[str, np.ndarray]) -> tuple[str, str, str]:
    """Returns the mean difference over tasks and the p-values of `TESTS`, as text.

    gaps: differences by task, see `paired_gaps`.
    """
    if not gaps:
        return "-", "-", "-"
    means = np.array([of_task.mean() for of_task in gaps.values()])
    return f"{means.mean():+.1f}", paired_p(np.concatenate(list(gaps.values()))), paired_p(means)


def paired_p(gaps: np.ndarray) -> str:
    """Returns the two-sided p-value of a Wilcoxon signed-rank test as text."""
    p = wilcoxon(gaps).pvalue if np.any(gaps) else 1.0
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
