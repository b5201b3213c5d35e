"""How much the default recipe depends on its numbers: each halved and doubled, one at a time."""

from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from dmsrl_adapt.recipe import DEFAULT

from .comparison import OURS, paired_gaps
from .figures import plain, save
from .results import Result, by_task_and_method, read_results

ALLOWED = 1.5  # points by which a mean may move
FACTORS = (0.5, 2.0)


def changes() -> dict[tuple[str, float], str]:
    """Returns the method for every number of the default recipe and every factor, as `get_method` reads it."""
    numbers = {key: value for key, value in asdict(DEFAULT).items() if isinstance(value, float)}
    return {(key, factor): f"{OURS}[{key}={numbers[key] * factor:g}]" for key in numbers for factor in FACTORS}


def methods() -> list[str]:
    """Returns the default recipe and all of its changes."""
    return [OURS, *changes().values()]


def moves(results: list[Result]) -> dict[tuple[str, float], np.ndarray]:
    """Returns by how many points of the headline score every task moves, a mean over the seeds that both have.

    Raises `ValueError` where a change was not run on a task on which the default was.
    """
    moved, tasks = {}, by_task_and_method(results)
    for change, name in changes().items():
        gaps = paired_gaps(tasks, name, OURS)
        if missing := [task for task in tasks if task not in gaps]:
            raise ValueError(f"{name} and {OURS} have no seed in common on {', '.join(missing)}")
        moved[change] = np.array([of_task.mean() for of_task in gaps.values()])
    return moved


def rows(moved: dict[tuple[str, float], np.ndarray]) -> list[list[str]]:
    """Returns a table: every number, how far the mean over tasks moves by each factor, and the task that moves most."""
    table = [["setting", "default", *(f"x {factor:g}, {what}" for factor in FACTORS for what in ("mean", "most"))]]
    for key in dict.fromkeys(key for key, _ in moved):
        row = [key, f"{asdict(DEFAULT)[key]:g}"]
        for factor in FACTORS:
            gaps = moved[key, factor]
            row += [f"{gaps.mean():+.1f}", f"{gaps[np.abs(gaps).argmax()]:+.1f}"]
        table.append(row)
    return table


def picture(moved: dict[tuple[str, float], np.ndarray], path: Path) -> Path:
    """Draws how far the score moves: a bar for the mean over tasks, a dot a task."""
    names = list(dict.fromkeys(key for key, _ in moved))
    figure, axes = plt.subplots(figsize=(7, 0.55 * len(names) + 1.4))
    axes.axvspan(-ALLOWED, ALLOWED, color="#eeeeee", lw=0)
    axes.axvline(0, color="black", lw=0.8)
    for shift, factor, colour in ((0.2, FACTORS[0], "#1f77b4"), (-0.2, FACTORS[1], "#d62728")):
        means = [moved[name, factor].mean() for name in names]
        places = np.arange(len(names)) + shift
        axes.barh(places, means, height=0.36, color=colour, alpha=0.75, label=f"times {factor:g}")
        for name, place in zip(names, places, strict=True):
            gaps = moved[name, factor]
            axes.plot(gaps, np.full(len(gaps), place), "o", ms=3, color=colour, mec="black", mew=0.4)
    axes.set_yticks(range(len(names)), [f"{name} = {asdict(DEFAULT)[name]:g}" for name in names])
    axes.set_xlabel("points of target accuracy against the default, last step")
    what = f"bar: mean over tasks, dot: a task, grey: {ALLOWED:g} points"
    axes.set_title(f"Default recipe, one number changed at a time\n({what})", fontsize=10)
    axes.legend(frameon=False, loc="lower left")
    plain(axes)
    return save(figure, path)


def write_sensitivity(folder: Path) -> list[list[str]]:
    """Draws `figures/sensitivity.png` in a folder of results, and gives the table's rows.

    Raises `ValueError` where the folder lacks results.
    """
    results = read_results(folder)
    if not results:
        raise ValueError(f"{folder} holds no results; `python -m benchmarks run --methods sensitivity` makes some")
    moved = moves(results)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    picture(moved, folder / "figures" / "sensitivity.png")
    return rows(moved)
