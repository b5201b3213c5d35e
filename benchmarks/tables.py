"""Tables of results, as text and as markdown."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from .provenance import STALE
from .results import Result


def by_task_and_method(results: Iterable[Result]) -> dict[str, dict[str, list[Result]]]:
    """Returns the results of all seeds by task and method."""
    grouped: dict[str, dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        grouped[result["task"]][result["method"]].append(result)
    return grouped


def by_seed(runs: Iterable[Result]) -> dict[int, float]:
    """Returns the headline scores of the last step by seed, in per cent, leaving out runs without target labels."""
    return {run["seed"]: 100 * run[run["metric"]]["last"] for run in runs if run[run["metric"]]["last"] is not None}


def headline(runs: Iterable[Result]) -> float:
    """Returns the mean over seeds of the headline scores of the last step, in per cent; 0 without labels."""
    scores = by_seed(runs)
    # rounded, so that equal means compare as equal
    return round(float(np.mean(list(scores.values()))), 9) if scores else 0.0


def percent(results: list[Result], metric: str, point: str = "last") -> str:
    """Returns the mean and standard deviation over seeds in per cent, as text; "-" without labels."""
    values = [result[metric][point] for result in results]
    if any(value is None for value in values):
        return "-"
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def label(name: str, runs: Iterable[Result]) -> str:
    """Returns a method's name for a table, with a mark if one of its runs is stale."""
    return f"{name} {STALE}" if any(run.get("is_stale") for run in runs) else name


def by_score(methods: Mapping[str, list[Result]]) -> list[str]:
    """Returns the names of methods, best last step first."""
    return sorted(methods, key=lambda name: headline(methods[name]), reverse=True)


def task_rows(methods: Mapping[str, list[Result]]) -> list[list[str]]:
    """Returns the table of a task, one row per method, sorted by the headline score of the last step."""
    first = next(iter(methods.values()))[0]
    metric, other = first["metric"], "balanced_accuracy" if first["metric"] == "accuracy" else "accuracy"
    # a ratio to DANN's step, because absolute times depend on the machine
    dann = [result["seconds_per_step"] for result in methods.get("dann", [])]
    rows = [["method", metric, other, "selected", "oracle", "step / DANN's", "seeds"]]
    for name in by_score(methods):
        runs = methods[name]
        seconds = np.median([run["seconds_per_step"] for run in runs])
        ratio = f"{seconds / np.median(dann):.2f}" if dann else "-"
        scores = [
            percent(runs, metric),
            percent(runs, other),
            *(percent(runs, metric, p) for p in ("selected", "oracle")),
        ]
        rows.append([label(name, runs), *scores, ratio, str(len(runs))])
    return rows


def score_rows(results: Iterable[Result]) -> list[list[str]]:
    """Returns one row per method, best first: the mean over tasks, and mean and deviation over seeds on each task."""
    tasks = by_task_and_method(results)
    rows = []
    for name in dict.fromkeys(name for methods in tasks.values() for name in methods):
        found = [methods.get(name, []) for methods in tasks.values()]
        mean = float(np.mean([headline(runs) for runs in found])) if all(found) else -1.0
        cells = [percent(runs, runs[0]["metric"]) if runs else "-" for runs in found]
        shown = label(name, (run for runs in found for run in runs))
        rows.append((mean, [shown, f"{mean:.1f}" if all(found) else "-", *cells]))
    return [["method", "mean", *tasks], *(row for _, row in sorted(rows, key=lambda row: -row[0]))]


def trial_rows(results: Iterable[Result]) -> list[list[str]]:
    """Returns one row per method and settings: the means over runs of the label-free score and of the headline score,
    both of the last step."""
    by_name = defaultdict[str, list[Result]](list)
    for result in results:
        by_name[result["method"]].append(result)
    rows = [["method and settings", "label-free score", "score, %", "runs"]]
    for name, runs in sorted(by_name.items()):
        scores = [run["curve"][-1]["selector"] for run in runs]
        free = "-" if None in scores else f"{np.mean(scores):.3f}"
        mean = np.mean([100 * run[run["metric"]]["last"] for run in runs])
        rows.append([label(name, runs), free, f"{mean:.1f}", str(len(runs))])
    return rows


def as_text(rows: list[list[str]], is_markdown: bool = False) -> str:
    """Returns a table with aligned columns, or a markdown table."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    edge, gap = ("| ", " | ") if is_markdown else ("", "  ")
    lines = [edge + gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    rule = edge + gap.join("-" * width for width in widths)
    lines = [line.rstrip() + (" |" if is_markdown else "") for line in lines]
    return "\n".join([lines[0], rule + (" |" if is_markdown else ""), *lines[1:]])
