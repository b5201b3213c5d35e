"""With and without our hooks: each method NAME beside NAME_dmsrl, the same with parts of DMSRL in it."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from .figures import plain, save
from .overview import Scores, difference, mean_of, scores_of
from .results import Result, by_task_and_method

SUFFIX = "_dmsrl"
WITH, WITHOUT = "#d62728", "#4d4d4d"


def paired_scores(results: list[Result]) -> dict[str, tuple[Scores, Scores]]:
    """Gives, by the name of a method, its last-step headlines and those with our hooks, in per cent, by task and seed:
    of the pairs of task and seed that both have. Methods without such a pair are left out."""
    scores: dict[str, Scores] = {}
    for methods in by_task_and_method([run for run in results if run[run["metric"]]["last"] is not None]).values():
        for name, runs in methods.items():
            scores.setdefault(name, {}).update(scores_of(runs))
    found = {}
    for name in sorted(scores):
        other = scores.get(name + SUFFIX, {})
        both = sorted(scores[name].keys() & other.keys())
        if both:
            found[name] = {pair: scores[name][pair] for pair in both}, {pair: other[pair] for pair in both}
    return found


def pair_rows(results: list[Result]) -> list[list[str]]:
    """Gives the rows of a table, a row a method, its mean over tasks without and with our hooks, and the difference on
    every task; with the p of Wilcoxon signed-rank tests, see `overview`. Empty where there is no pair."""
    pairs = paired_scores(results)
    tasks = sorted({task for without, _ in pairs.values() for task, _ in without})
    rows = [["method", "alone", "with ours", "difference", "p (task x seed)", "p (tasks)", "seeds", *tasks]]
    for name, (without, ours) in pairs.items():
        of_task = {task: gain(without, ours, task) for task in tasks if any(task == one for one, _ in without)}
        means = [np.mean([mean_of(scores, task) for task in of_task]) for scores in (without, ours)]
        seeds = len({seed for _, seed in without})
        told = [f"{of_task[task]:+.1f}" if task in of_task else "-" for task in tasks]
        rows.append([name, f"{means[0]:.1f}", f"{means[1]:.1f}", *difference(ours, without), str(seeds), *told])
    return rows if pairs else []


def gain(without: Scores, ours: Scores, task: str) -> float:
    """How far our hooks lift a method on a task, mean over seeds, in points."""
    return mean_of(ours, task) - mean_of(without, task)


def pair_picture(results: list[Result], path: Path) -> Path:
    """An arrow a method and task, from its score alone to that with our hooks: means over seeds. Needs a pair."""
    pairs = paired_scores(results)
    rows = [(name, task) for name, (without, _) in pairs.items() for task in sorted({task for task, _ in without})]
    figure, axes = plt.subplots(figsize=(7, 0.32 * len(rows) + 1.3))
    for row, (name, task) in enumerate(reversed(rows)):
        start, end = (mean_of(scores, task) for scores in pairs[name])
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
