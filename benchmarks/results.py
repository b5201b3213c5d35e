"""Result files: one JSON a run, written when the run ends."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoints import Checkpoint
from .methods import Method
from .provenance import commit, is_stale, versions
from .tasks import Task
from .training import Outcome, Plan, summary
from .validators import SELECTOR

Result = dict[str, Any]


def run_path(folder: Path, task: str, method: str, seed: int) -> Path:
    """Where the result of a run lies."""
    return folder / f"{task}__{method}__seed{seed}.json"


def key_of(run: Mapping[str, Any]) -> tuple[str, str, int]:
    """Returns what tells the runs of a folder or a study apart."""
    return run["task"], run["method"], run["seed"]


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
    folder: Path,
    task: str,
    method: Method,
    seed: int,
    plan: Plan,
    data: Mapping[str, Any] | None = None,
    redo_stale: bool = False,
) -> bool:
    """Whether a run with these settings has already left its result; with `redo_stale` by today's code and versions."""
    try:
        found = json.loads(run_path(folder, task, method.name, seed).read_text())
    except (OSError, ValueError):
        return False
    is_same = all(found.get(key) == value for key, value in chosen(method, plan, data).items())
    return is_same and not (redo_stale and is_stale(found))


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
    """Returns the results in folders, one folder after the other; `features` is the `.npz` beside a file, as bytes.

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
        if (features := path.with_suffix(".npz")).is_file():
            results[-1]["features"] = features.read_bytes()
    return results
