"""The effect of single settings in the trials by which the default recipe was chosen, for docs/recipe.md."""

import csv
from collections import defaultdict
from itertools import permutations
from pathlib import Path
from statistics import mean

TRIALS = Path(__file__).resolve().parent.parent / "benchmarks" / "results" / "trials.csv"
# key of a setting in the log, see benchmarks/results/README.md; value before, None if it is not named; value after;
# description of the change
COMPARED = (
    ("margin", "0", "0.2", "cosine margin of weight 0.2 in place of none"),
    ("mi", "0", "1.0", "conditional mutual information of weight 1 in place of none"),
    ("protolab", "False", "True", "pseudo labels of prototypes in the margin in place of none"),
    ("mccramp", None, "True", "minimum class confusion with a warm-up, not from the first step"),
    ("style", "0", "0.5", "half of the source images augmented in place of none"),
    ("smixstyle", None, "True", "random convolutions blended with the image, not alone"),
    ("affine_strength", "0", "1", "augmented images also rotated, scaled, sheared and shifted"),
    ("style_by_skill", "False", "True", "augmentation probability scaled by source accuracy"),
    ("copies", "0", "4", "features of a frozen network with four augmented copies"),
    ("xh", "1.0", "0.5", "half of the target images augmented for consistency, not all"),
    ("ls", "0.1", "0.05", "labels smoothed by 0.05, not 0.1"),
    ("local", "corners", "None", "no corner windows in place of four"),
)
Scores = dict[tuple[str, str], float]


def trials() -> dict[frozenset[tuple[str, str]], Scores]:
    """Returns the accuracy by task and seed, for each combination of settings."""
    found: dict[frozenset[tuple[str, str]], Scores] = defaultdict(dict)
    with TRIALS.open() as file:
        for row in csv.DictReader(file):
            named = [part.partition("=") for part in row["settings"].split()]
            settings = frozenset((key, value) for key, _, value in named)
            found[settings][row["task"], row["seed"]] = float(row["target_validation_accuracy"])
    return found


def differences(key: str, before: str | None, after: str | None) -> dict[str, list[float]]:
    """Returns the changes in accuracy by task, in points: one for each seed and pair of trials that differ in this
    setting only."""
    gaps: dict[str, list[float]] = defaultdict(list)
    for (first, of_first), (second, of_second) in permutations(trials().items(), 2):
        values = dict(first).get(key), dict(second).get(key)
        if values == (before, after) and {name for name, _ in first ^ second} == {key}:
            for task, seed in of_first.keys() & of_second.keys():
                gaps[task].append(of_second[task, seed] - of_first[task, seed])
    return gaps


def table() -> str:
    """Returns the differences of `COMPARED` as a markdown table."""
    lines = ["| change, all else the same | runs | mean | most on | least on |", "|---|---|---|---|---|"]
    for key, before, after, told in COMPARED:
        of_task = differences(key, before, after)
        ends = sorted((mean(gaps), task) for task, gaps in of_task.items())
        every = [gap for gaps in of_task.values() for gap in gaps]
        most, least = (f"{gap:+.1f} {task}" for gap, task in (ends[-1], ends[0]))
        lines.append(f"| {told} | {len(every)} | {mean(every):+.1f} | {most} | {least} |")
    return "\n".join(lines)
