"""Methods over several tasks: means, ranks, what adaptation spoils, and a paired test of ours against each."""

from collections.abc import Mapping

import numpy as np
from scipy.stats import wilcoxon

from .comparison import CEILING, FLOOR, OURS, paired_gaps, ranks_of, scored, shared_methods
from .results import Result, by_task_and_method, headline

TESTS = ("p (task x seed)", "p (tasks)")


def overview(results: list[Result]) -> list[list[str]]:
    """Gives the rows of a table over tasks, best mean first, of the methods that were run on all tasks.

    Columns: mean over tasks of the mean over seeds; mean rank among the methods shown but the ceiling; tasks on which
    the method is best of these; its worst difference to source-only training, and on which task; difference of ours to
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
    ranked = [name for name in shared if name != CEILING]
    ranks = ranks_of(tasks, ranked)
    rows = [["method", "mean", "mean rank", "best on", "worst against source_only", "dmsrl minus it", *TESTS]]
    for name in sorted(shared, key=lambda name: -means[name]):
        column = ranks[:, ranked.index(name)] if name in ranked else None
        rows.append(
            [
                name,
                f"{means[name]:.1f}",
                "-" if column is None else f"{column.mean():.1f}",
                "-" if column is None else f"{int((column == ranks.min(1)).sum())} of {len(tasks)}",
                worst(scores[name], scores[FLOOR]) if FLOOR in shared and name != FLOOR else "-",
                *difference(paired_gaps(tasks, OURS, name) if OURS in shared and name != OURS else {}),
            ]
        )
    return rows


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
