"""Methods over several tasks: means, ranks, what adaptation spoils, and a paired test of ours against each."""

import numpy as np
from scipy.stats import rankdata, wilcoxon

from .comparison import CEILING, FLOOR, OURS
from .results import Result, by_task_and_method

TESTS = ("p (task x seed)", "p (tasks)")
Scores = dict[tuple[str, int], float]  # last-step headline in per cent, by task and seed


def overview(results: list[Result]) -> list[list[str]]:
    """Gives the rows of a table over tasks, best mean first, of the methods that were run on all tasks.

    Columns: mean over tasks of the mean over seeds; mean rank among the methods shown but the ceiling; tasks on which
    the method is best of these; its worst difference to source-only training, and on which task; difference of ours to
    the method and two-sided p of Wilcoxon signed-rank tests, one over the pairs of task and seed that both have, which
    takes the seeds of a task for independent, one over the mean differences of the tasks, which is never below 2 / 2^T
    with T tasks. Empty where there are fewer than two tasks.
    """
    tasks = by_task_and_method([run for run in results if run[run["metric"]]["last"] is not None])
    shared = set.intersection(*(set(methods) for methods in tasks.values())) if len(tasks) > 1 else set()
    if not shared:
        return []
    scores = {name: scores_of([run for methods in tasks.values() for run in methods[name]]) for name in shared}
    means = {name: {task: mean_of(scores[name], task) for task in tasks} for name in shared}
    ranked = sorted(shared - {CEILING})
    ranks = np.array([rankdata([-means[name][task] for name in ranked]) for task in tasks])
    rows = [["method", "mean", "mean rank", "best on", "worst against source_only", "dmsrl minus it", *TESTS]]
    for name in sorted(shared, key=lambda name: -np.mean(list(means[name].values()))):
        column = ranks[:, ranked.index(name)] if name in ranked else None
        rows.append(
            [
                name,
                f"{np.mean(list(means[name].values())):.1f}",
                "-" if column is None else f"{column.mean():.1f}",
                "-" if column is None else f"{int((column == ranks.min(1)).sum())} of {len(tasks)}",
                worst(means[name], means[FLOOR]) if FLOOR in shared and name != FLOOR else "-",
                *(difference(scores[OURS], scores[name]) if OURS in shared and name != OURS else ("-", "-", "-")),
            ]
        )
    return rows


def scores_of(runs: list[Result]) -> Scores:
    """Last-step headline of runs of one method, in per cent."""
    return {(run["task"], run["seed"]): 100 * run[run["metric"]]["last"] for run in runs}


def mean_of(scores: Scores, task: str) -> float:
    """Mean over the seeds of a task."""
    return float(np.mean([score for (of_task, _), score in scores.items() if of_task == task]))


def worst(means: dict[str, float], floor: dict[str, float]) -> str:
    """The task on which adaptation gains least, or loses most."""
    task = min(means, key=lambda task: means[task] - floor[task])
    return f"{means[task] - floor[task]:+.1f} ({task})"


def difference(ours: Scores, other: Scores) -> tuple[str, str, str]:
    """Mean over tasks of what ours is above another, and the p of `TESTS`."""
    pairs = sorted(ours.keys() & other.keys())
    gaps = np.array([ours[pair] - other[pair] for pair in pairs])
    if not len(gaps):
        return "-", "-", "-"
    tasks = np.array([task for task, _ in pairs])
    means = np.array([gaps[tasks == task].mean() for task in np.unique(tasks)])
    return f"{means.mean():+.1f}", paired_p(gaps), paired_p(means)


def paired_p(gaps: np.ndarray) -> str:
    """Two-sided p of a Wilcoxon signed-rank test."""
    p = wilcoxon(gaps).pvalue if np.any(gaps) else 1.0
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
