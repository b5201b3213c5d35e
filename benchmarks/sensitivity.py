"""Sensitivity of the default recipe to its numbers: each is halved and doubled, one at a time."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from .comparison import OURS, paired_gaps
from .figures import plain, save
from .methods import get_method
from .results import Result
from .tables import by_task_and_method

ALLOWED = 1.5  # points; changes of the mean up to this size are shaded
FACTORS = (0.5, 2.0)
Moves = dict[str, dict[float, np.ndarray]]  # by number and factor, points by task


def methods() -> list[str]:
    """Returns the names of the default recipe and of its variants with one number, other than 0, halved or doubled."""
    numbers = {key: value for key, value in get_method(OURS).settings.items() if isinstance(value, float) and value}
    return [OURS, *(f"{OURS}[{key}={numbers[key] * factor:g}]" for key in numbers for factor in FACTORS)]


def change(name: str, settings: Mapping[str, Any]) -> tuple[str, float] | None:
    """Returns the number that a method's name changes, and the factor; None for other names.

    Several settings that change by the same factor, such as the strength of two augmentations, count as one number.
    """
    base, _, changes = name.removesuffix("]").partition("[")
    pairs = dict(one.partition("=")[::2] for one in changes.split(",") if one)
    if base != OURS or not pairs or any(not isinstance(settings.get(key), float) for key in pairs):
        return None
    factors = {float(text) / settings[key] for key, text in pairs.items() if settings[key]}
    return (", ".join(pairs), factor) if len(factors) == 1 and (factor := factors.pop()) in FACTORS else None


def moves(results: list[Result]) -> Moves:
    """Returns the change of the headline score on each task in points, averaged over common seeds; empty without
    variants.

    Raises `ValueError` if a variant lacks a task on which the default was run.
    """
    tasks, moved = by_task_and_method(results), defaultdict[str, dict[float, np.ndarray]](dict)
    settings = default_settings(results)
    for name in dict.fromkeys(run["method"] for run in results):
        if (found := change(name, settings)) is None:
            continue
        gaps = paired_gaps(tasks, name, OURS)
        if missing := [task for task, methods in tasks.items() if OURS in methods and task not in gaps]:
            raise ValueError(f"{name} and {OURS} have no seed in common on {', '.join(missing)}")
        moved[found[0]][found[1]] = np.array([of_task.mean() for of_task in gaps.values()])
    return {key: by_factor for key, by_factor in moved.items() if len(by_factor) == len(FACTORS)}


def default_settings(results: list[Result]) -> dict[str, Any]:
    """Returns the settings of the default recipe's runs; empty if it was not run."""
    return next((run["settings"] for run in results if run["method"] == OURS), {})


def value(number: str, results: list[Result]) -> float:
    """Returns a number's value in the default recipe."""
    found: float = default_settings(results)[number.partition(", ")[0]]
    return found


def sensitivity_rows(results: list[Result]) -> list[list[str]]:
    """Returns a table with the change of the mean over tasks and the largest change on a task, by number and factor."""
    table = [["setting", "default", *(f"x {factor:g}, {what}" for factor in FACTORS for what in ("mean", "most"))]]
    moved = moves(results)
    for key, by_factor in moved.items():
        row = [key, f"{value(key, results):g}"]
        for factor in FACTORS:
            gaps = by_factor[factor]
            row += [f"{gaps.mean():+.1f}", f"{gaps[np.abs(gaps).argmax()]:+.1f}"]
        table.append(row)
    return table if moved else []


def sensitivity_picture(results: list[Result], path: Path) -> Path:
    """Draws the changes of the score: a bar for the mean over tasks, and one dot per task."""
    moved = moves(results)
    names = list(moved)
    figure, axes = plt.subplots(figsize=(7, 0.55 * len(names) + 1.4))
    axes.axvspan(-ALLOWED, ALLOWED, color="#eeeeee", lw=0)
    axes.axvline(0, color="black", lw=0.8)
    for shift, factor, colour in ((0.2, FACTORS[0], "#1f77b4"), (-0.2, FACTORS[1], "#d62728")):
        means = [moved[name][factor].mean() for name in names]
        places = np.arange(len(names)) + shift
        axes.barh(places, means, height=0.36, color=colour, alpha=0.75, label=f"times {factor:g}")
        for name, place in zip(names, places, strict=True):
            gaps = moved[name][factor]
            axes.plot(gaps, np.full(len(gaps), place), "o", ms=3, color=colour, mec="black", mew=0.4)
    axes.set_yticks(range(len(names)), [f"{name.replace(', ', chr(10))} = {value(name, results):g}" for name in names])
    axes.set_xlabel("change of the target score against the default, points, after the last step")
    what = f"bar: mean over tasks, dots: tasks, grey: ± {ALLOWED:g} points"
    axes.set_title(f"Default recipe, one number changed at a time\n({what})", fontsize=10)
    axes.legend(frameon=False, loc="lower left")
    plain(axes)
    return save(figure, path)
