"""The figures of a report over several tasks."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from .ablation import ablation_picture
from .comparison import OURS, Ranking, Tasks, ranking, scored, shared_methods
from .figures import colours, plain, save
from .results import Result
from .tables import by_task_and_method, headline


def critical_difference(found: Ranking, path: Path) -> Path:
    """Draws mean ranks on a line, best at the left; bars join methods without a significant difference (Nemenyi)."""
    ordered = sorted(found.ranks, key=lambda name: found.ranks[name])
    palette, count, half = colours(ordered), len(ordered), (len(ordered) + 1) // 2
    figure, axes = plt.subplots(figsize=(7, 2 + 0.28 * half + 0.14 * len(found.groups)))
    axes.plot([1, count], [0, 0], color="black", lw=1)
    for tick in range(1, count + 1):
        axes.plot([tick, tick], [0, 0.25], color="black", lw=1)
        axes.text(tick, 0.4, str(tick), ha="center", va="bottom", fontsize=9)
    axes.plot([1, 1 + found.critical], [1.9, 1.9], color="black", lw=2)
    axes.text(1 + found.critical / 2, 2.0, f"critical difference {found.critical:.2f}", ha="center", fontsize=9)
    top = -0.45 * (len(found.groups) + 1)
    for number, group in enumerate(found.groups):
        ends = [found.ranks[group[0]] - 0.05, found.ranks[group[-1]] + 0.05]
        axes.plot(ends, [-0.45 * (number + 1)] * 2, color="0.45", lw=4, solid_capstyle="butt")
    for place, name in enumerate(ordered):
        is_left = place < half
        depth = top - 0.8 * (place if is_left else count - 1 - place)
        edge = 0.7 if is_left else count + 0.3
        rank = found.ranks[name]
        axes.plot([rank, rank, edge], [0, depth, depth], color=palette[name], lw=1)
        text = f"{name}  {rank:.2f}" if is_left else f"{rank:.2f}  {name}"
        axes.text(edge, depth, f" {text} ", ha="right" if is_left else "left", va="center", fontsize=9)
    friedman = "" if found.p is None else f"; Friedman's test: p = {found.p:.2g}"
    axes.set_title(f"Mean rank over {found.num_tasks} tasks, 1 is best{friedman}", fontsize=10)
    axes.axis("off")
    return save(figure, path)


def speed_accuracy(tasks: Tasks, path: Path) -> Path | None:
    """Draws the mean score against the time of a step relative to DANN. Returns None if fewer than two methods, or no
    DANN, were run on all tasks."""
    names = shared_methods(tasks)
    if "dann" not in names or len(names) < 2:
        return None
    palette = colours(names)
    figure, axes = plt.subplots(figsize=(7, 4.4))
    points = []
    for name in names:
        ratios = [median_seconds(of[name]) / median_seconds(of["dann"]) for of in tasks.values()]
        score = float(np.mean([headline(of[name]) for of in tasks.values()]))
        points.append((float(np.median(ratios)), score))
        axes.plot(*points[-1], "o", color=palette[name], ms=8, mec="black" if name == OURS else "white")
    for name, point in zip(names, points, strict=True):
        # names of neighbouring points go above and below
        is_under = any(other != point and abs(np.log(other[0] / point[0])) < 0.25 and 0 < other[1] - point[1] < 2
                       for other in points)  # fmt: skip
        offset = (6, -9 if is_under else 3)
        axes.annotate(name, point, offset, textcoords="offset points", fontsize=9, color=palette[name])
    axes.set_xscale("log")
    ticks = [tick for tick in (0.25, 0.5, 1, 2, 4, 8, 16) if points and tick <= 1.5 * max(x for x, _ in points)]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.margins(x=0.15, y=0.1)
    axes.set_xlabel("time of a training step relative to DANN (median over tasks)")
    axes.set_ylabel("target score, %, mean over tasks")
    axes.set_title("Accuracy against speed: higher and further left is better", fontsize=10)
    plain(axes)
    return save(figure, path)


def median_seconds(runs: list[Result]) -> float:
    """Returns the seconds of a step, median over seeds."""
    return float(np.median([run["seconds_per_step"] for run in runs]))


def overall_pictures(results: list[Result], folder: Path) -> list[tuple[str, Path]]:
    """Draws the figures for which there are enough results; returns a caption and the path of each."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = scored(by_task_and_method(results))
    drawn = []
    if found := ranking(tasks):
        drawn.append(("Critical-difference diagram", critical_difference(found, folder / "ranks.png")))
    for caption, path in (
        ("Speed against accuracy", speed_accuracy(tasks, folder / "speed.png")),
        ("Ablation of the default recipe", ablation_picture(results, folder / "ablation.png")),
    ):
        drawn += [(caption, path)] if path else []
    return drawn
