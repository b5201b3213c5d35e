"""Methods with and without our hooks: each method NAME beside NAME_dmsrl, the same method with parts of DMSRL."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from .comparison import paired
from .figures import plain, save
from .overview import TESTS, difference
from .results import Result
from .tables import by_task_and_method, label

SUFFIX = "_dmsrl"
WITH, WITHOUT = "#d62728", "#4d4d4d"
Pairs = dict[str, tuple[np.ndarray, np.ndarray]]  # by task, scores of `paired`


def paired_scores(results: list[Result]) -> dict[str, Pairs]:
    """Returns, by method and task, the scores alone and with our hooks. Methods without such a pair are left out."""
    tasks = by_task_and_method(results)
    found = {}
    for name in sorted({name for methods in tasks.values() for name in methods}):
        pairs = {task: paired(of.get(name, []), of.get(name + SUFFIX, [])) for task, of in sorted(tasks.items())}
        if some := {task: both for task, both in pairs.items() if len(both[0])}:
            found[name] = some
    return found


def pair_rows(results: list[Result]) -> list[list[str]]:
    """Returns one row per method: its mean over tasks without and with our hooks, their difference with the p-values of
    `overview`, and the difference on each task. Returns no rows if there is no pair."""
    pairs = paired_scores(results)
    tasks = sorted({task for of_task in pairs.values() for task in of_task})
    rows = [["method", "alone", "with ours", "difference", *TESTS, "seeds", *tasks]]
    for name, of_task in pairs.items():
        gaps = {task: ours - alone for task, (alone, ours) in of_task.items()}
        means = np.mean([(alone.mean(), ours.mean()) for alone, ours in of_task.values()], axis=0)
        seeds = max(map(len, gaps.values()))
        cells = [f"{gaps[task].mean():+.1f}" if task in gaps else "-" for task in tasks]
        both = (run for run in results if run["method"] in (name, name + SUFFIX))
        rows.append([label(name, both), f"{means[0]:.1f}", f"{means[1]:.1f}", *difference(gaps), str(seeds), *cells])
    return rows if pairs else []


def pair_picture(results: list[Result], path: Path) -> Path:
    """Draws one arrow per method and task, from the score alone to the score with our hooks, as means over seeds."""
    pairs = paired_scores(results)
    rows = [(name, task) for name, of_task in pairs.items() for task in of_task]
    figure, axes = plt.subplots(figsize=(7, 0.32 * len(rows) + 1.3))
    for row, (name, task) in enumerate(reversed(rows)):
        start, end = (scores.mean() for scores in pairs[name][task])
        axes.annotate("", (end, row), (start, row), arrowprops={"arrowstyle": "-|>", "color": WITH, "shrinkB": 0})
        axes.plot(start, row, "o", color=WITHOUT, ms=5, label=None if row else "alone")
        axes.plot(end, row, "o", color=WITH, ms=5, label=None if row else "with our hooks")
        axes.text(max(start, end) + 1, row, f"{end - start:+.1f}", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [f"{name}, {task}" for name, task in reversed(rows)], fontsize=8)
    axes.margins(x=0.1)
    axes.set_xlabel("target score after the last step, %, mean over seeds")
    axes.set_title("Methods alone and with our hooks (`attach_dmsrl`)", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="best")
    plain(axes)
    return save(figure, path)
