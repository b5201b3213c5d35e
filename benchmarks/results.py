"""Result files: one JSON a run, and what they say together."""

import json
import os
import platform
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoints import Checkpoint
from .methods import Method
from .tasks import Task
from .training import Outcome, Plan, summary
from .validators import SELECTOR

PACKAGES = ("torch", "pytorch-adapt", "dmsrl-adapt", "timm", "numpy", "scikit-learn", "faiss-gpu", "faiss-cpu")
Result = dict[str, Any]


def run_path(folder: Path, task: str, method: str, seed: int) -> Path:
    """Where the result of a run lies."""
    return folder / f"{task}__{method}__seed{seed}.json"


def make_result(
    task: Task, method: Method, seed: int, plan: Plan, outcome: Outcome, data: Mapping[str, Any] | None = None
) -> Result:
    """Returns everything that a result file says; benchmarks/README.md describes the fields."""
    return {
        "task": task.name,
        "method": method.name,
        "seed": seed,
        "metric": task.metric,
        "score_on": plan.score_on,
        **summary(task, outcome, plan),
        "classes": list(task.classes),
        "selector": SELECTOR,
        "seconds_per_step": outcome.seconds_per_step,
        "peak_memory": outcome.peak_memory,
        "steps": plan.steps,
        "settings": run_settings(method, plan, data),
        "versions": versions(),
        "commit": commit(),
        "curve": outcome.curve,
    }


def run_settings(method: Method, plan: Plan, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything that was chosen for a run and changes its outcome; `data` describes data that no task's name does."""
    settings = {**method.settings, "network": plan.network, "batch_size": plan.batch_size, "scorings": plan.scorings}
    return settings if data is None else {**settings, "data": dict(data)}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str | None:
    """The commit of this checkout, marked where it has changes; None outside of git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def write_result(folder: Path, result: Result, embedding: dict[str, np.ndarray] | None = None) -> None:
    """Writes a result file, and the embedding beside it; a reader never sees half a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = run_path(folder, result["task"], result["method"], result["seed"])
    if embedding is not None:
        half = path.with_suffix(f".{os.getpid()}.part.npz")
        arrays: dict[str, Any] = embedding
        np.savez_compressed(half, **arrays)
        half.replace(path.with_suffix(".npz"))
    write_whole(path, result)


def write_whole(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file, and its folder where that is missing; a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    unfinished.write_text(json.dumps(content, indent=1) + "\n")
    unfinished.replace(path)


def is_done(
    folder: Path, task: str, method: Method, seed: int, plan: Plan, data: Mapping[str, Any] | None = None
) -> bool:
    """Whether a run with these settings has already left its result."""
    path = run_path(folder, task, method.name, seed)
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return all(found.get(key) == value for key, value in chosen(method, plan, data).items())


def chosen(method: Method, plan: Plan, data: Mapping[str, Any] | None) -> dict[str, Any]:
    """Fields of a result that are known before the run."""
    return {"steps": plan.steps, "score_on": plan.score_on, "settings": run_settings(method, plan, data)}


def checkpoint_of(
    folder: Path, task: str, method: Method, seed: int, plan: Plan, data: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Returns the checkpoint of a run, in a folder beside where its result is going to be."""
    run = {**chosen(method, plan, data), "versions": versions(), "commit": commit()}
    return Checkpoint(run_path(folder, task, method.name, seed).with_suffix(".checkpoints"), run)


def result_files(folder: Path) -> list[Path]:
    """Returns the result files in a folder, without those in folders below it, by task, method and seed."""
    return sorted(folder.glob("*__*__seed*.json"))


def read_results(*folders: Path) -> list[Result]:
    """Returns the results in folders, one folder after the other.

    Raises `ValueError` for a damaged file, and where two folders hold the same task, method and seed.
    """
    results, read = [], dict[str, Path]()
    for path in (path for folder in folders for path in result_files(folder)):
        if path.name in read:
            raise ValueError(f"{read[path.name]} and {path} are of the same task, method and seed; leave out one")
        read[path.name] = path
        try:
            results.append(json.loads(path.read_text()))
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}") from error
    return results


def by_task_and_method(results: Iterable[Result]) -> dict[str, dict[str, list[Result]]]:
    """Returns the results of all seeds by task and method."""
    grouped: dict[str, dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        grouped[result["task"]][result["method"]].append(result)
    return grouped


def by_seed(runs: Iterable[Result]) -> dict[int, float]:
    """Returns the headline scores of the last step by seed, in per cent; without runs that have no labels."""
    return {run["seed"]: 100 * run[run["metric"]]["last"] for run in runs if run[run["metric"]]["last"] is not None}


def headline(runs: Iterable[Result]) -> float:
    """Mean over seeds of the headline scores of the last step, in per cent; 0 without labels."""
    scores = by_seed(runs)
    # rounded, so that equal means are so to the last bit
    return round(float(np.mean(list(scores.values()))), 9) if scores else 0.0


def percent(results: list[Result], metric: str, point: str = "last") -> str:
    """Mean and standard deviation over seeds in per cent; "-" where there are no labels."""
    values = [result[metric][point] for result in results]
    if any(value is None for value in values):
        return "-"
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def table(methods: dict[str, list[Result]]) -> list[list[str]]:
    """Returns the rows of a task's table, headline first, a row a method in the order of the last step's accuracy."""
    first = next(iter(methods.values()))[0]
    metric, other = first["metric"], "balanced_accuracy" if first["metric"] == "accuracy" else "accuracy"
    # a ratio to DANN's step, because absolute times mean nothing on another machine
    dann = [result["seconds_per_step"] for result in methods.get("dann", [])]
    rows = [["method", metric, other, "selected", "oracle", "step / DANN's", "seeds"]]
    for name in sorted(methods, key=lambda name: headline(methods[name]), reverse=True):
        runs = methods[name]
        seconds = np.median([run["seconds_per_step"] for run in runs])
        ratio = f"{seconds / np.median(dann):.2f}" if dann else "-"
        scores = [
            percent(runs, metric),
            percent(runs, other),
            *(percent(runs, metric, p) for p in ("selected", "oracle")),
        ]
        rows.append([name, *scores, ratio, str(len(runs))])
    return rows


def as_text(rows: list[list[str]], is_markdown: bool = False) -> str:
    """Returns a table with aligned columns, or a markdown table."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    edge, gap = ("| ", " | ") if is_markdown else ("", "  ")
    lines = [edge + gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    rule = edge + gap.join("-" * width for width in widths)
    lines = [line.rstrip() + (" |" if is_markdown else "") for line in lines]
    return "\n".join([lines[0], rule + (" |" if is_markdown else ""), *lines[1:]])
