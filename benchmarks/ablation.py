"""Ablation of the default recipe: `dmsrl` against `dmsrl-PART`, the same recipe without that part."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from .comparison import OURS, Tasks, paired_gaps
from .figures import plain, save
from .overview import TESTS, difference
from .results import Result
from .tables import by_seed, by_task_and_method, headline, label


def without_a_part(tasks: Tasks) -> list[str]:
    """Returns the names of all `dmsrl-PART` that were run."""
    return sorted({name for methods in tasks.values() for name in methods if name.startswith(f"{OURS}-")})


def common_tasks(tasks: Tasks, names: list[str]) -> Tasks:
    """Returns the tasks on which all of `names` were run and scored."""
    return {task: of for task, of in tasks.items() if all(by_seed(of.get(name, [])) for name in names)}


def ablation_rows(results: list[Result]) -> list[list[str]]:
    """Returns one row per part, sorted by effect: the mean over tasks without the part, the difference to the default
    with p-values of Wilcoxon signed-rank tests, and the mean on each task.

    Returns no rows without ablations.
    """
    tasks = by_task_and_method(results)
    names = without_a_part(tasks)
    common = common_tasks(tasks, [OURS, *names])
    if not names or not common:
        return []
    means = {name: float(np.mean([headline(of[name]) for of in common.values()])) for name in (OURS, *names)}
    rows = [["without", "mean", "default above it", *TESTS, *common]]
    for name in sorted(means, key=lambda name: (name != OURS, means[name])):
        runs = [run for of in common.values() for run in of[name]]
        compared = difference({} if name == OURS else paired_gaps(common, OURS, name))
        part = "nothing" if name == OURS else name.removeprefix(f"{OURS}-")
        cells = [f"{headline(of[name]):.1f}" for of in common.values()]
        rows.append([label(part, runs), f"{means[name]:.1f}", *compared, *cells])
    return rows


def ablation_picture(results: list[Result], path: Path) -> Path | None:
    """Draws the change of the mean score without each part, with the standard error over pairs of task and seed.

    Returns None without ablations."""
    tasks = by_task_and_method(results)
    names = without_a_part(tasks)
    common = common_tasks(tasks, [OURS, *names])
    if not names or not common:
        return None
    whole = float(np.mean([headline(of[OURS]) for of in common.values()]))
    gaps = {name: paired_gaps(common, name, OURS) for name in names}
    change = {name: float(np.mean([of_task.mean() for of_task in gaps[name].values()])) for name in names}
    rows = sorted(names, key=lambda name: change[name])
    figure, axes = plt.subplots(figsize=(7, 1.3 + 0.42 * (len(rows) + 1)))
    axes.barh(len(rows), 0.4, left=whole - 0.2, color="black", height=0.6)
    axes.axvline(whole, color="black", lw=0.8, ls=":")
    for row, name in enumerate(reversed(rows)):
        pairs = np.concatenate(list(gaps[name].values()))
        error = pairs.std(ddof=1) / np.sqrt(len(pairs)) if len(pairs) > 1 else 0.0
        axes.barh(row, change[name], left=whole, color="#d62728" if change[name] < 0 else "#2ca02c", height=0.6)
        axes.errorbar(whole + change[name], row, xerr=error, color="black", capsize=3, lw=1)
    labels = [f"without {name.removeprefix(f'{OURS}-')}  {change[name]:+.1f}" for name in reversed(rows)]
    axes.set_yticks(range(len(rows) + 1), [*labels, f"{OURS}, all parts  {whole:.1f}"])
    axes.margins(x=0.15)
    axes.set_xlabel(f"target score after the last step, %, mean of {len(common)} task{'s' * (len(common) > 1)}")
    axes.set_title("Ablation of the default recipe (line: standard error over tasks and seeds)", fontsize=10)
    plain(axes)
    return save(figure, path)
