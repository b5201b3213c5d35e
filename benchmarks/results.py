"""Result files: one JSON file per run, written when the run ends."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dmsrl_adapt.trainer.checkpoint import Checkpoint
from dmsrl_adapt.trainer.validators import SELECTOR

from .methods import Method
from .provenance import commit, is_stale, versions
from .tasks import Task
from .training import Outcome, Plan, summary

Result = dict[str, Any]


def run_path(folder: Path, task: str, method: str, seed: int) -> Path:
    """Returns the path of a run's result."""
    return folder / f"{task}__{method}__seed{seed}.json"


def key_of(run: Mapping[str, Any]) -> tuple[str, str, int]:
    """Returns task, method and seed, which identify a run in a folder or a study."""
    return run["task"], run["method"], run["seed"]


def make_result(
    task: Task, method: Method, seed: int, plan: Plan, outcome: Outcome, data: Mapping[str, Any] | None = None
) -> Result:
    """Returns the content of a result file; benchmarks/README.md describes the fields."""
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
    """Returns all settings that affect the outcome of a run; `data` describes data that the task's name does not."""
    settings = {**method.settings, "network": plan.network, "batch_size": plan.batch_size, "scorings": plan.scorings}
    return settings if data is None else {**settings, "data": dict(data)}


def write_result(folder: Path, result: Result, embedding: dict[str, np.ndarray] | None = None) -> None:
    """Writes a result file atomically, and its features to a file beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = run_path(folder, result["task"], result["method"], result["seed"])
    if embedding is not None:
        half = path.with_suffix(f".{os.getpid()}.part.npz")
        arrays: dict[str, Any] = embedding
        np.savez_compressed(half, **arrays)
        half.replace(path.with_suffix(".npz"))
    write_whole(path, result)


def write_whole(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file atomically, and creates its folder if needed."""
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
    """Whether the folder has a result of this run with these settings; with `redo_stale`, a current one."""
    try:
        found = json.loads(run_path(folder, task, method.name, seed).read_text())
    except (OSError, ValueError):
        return False
    is_same = all(found.get(key) == value for key, value in chosen(method, plan, data).items())
    return is_same and not (redo_stale and is_stale(found))


def chosen(method: Method, plan: Plan, data: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the fields of a result that are known before the run."""
    return {"steps": plan.steps, "score_on": plan.score_on, "settings": run_settings(method, plan, data)}


def checkpoint_of(
    folder: Path, task: str, method: Method, seed: int, plan: Plan, data: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Returns the path of a run's checkpoint, in a folder beside its result."""
    run = {**chosen(method, plan, data), "versions": versions(), "commit": commit()}
    return Checkpoint(run_path(folder, task, method.name, seed).with_suffix(".checkpoints"), run)


def result_files(folder: Path) -> list[Path]:
    """Returns the result files in a folder, not in subfolders, by task, method and seed."""
    return sorted(folder.glob("*__*__seed*.json"))


def read_results(*folders: Path) -> list[Result]:
    """Returns the results of several folders; `features` has the bytes of the `.npz` file beside a result.

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
