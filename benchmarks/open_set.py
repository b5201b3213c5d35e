"""Open-set targets: fractions of unknown samples rejected and known samples kept, over a threshold on certainty."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from dmsrl_adapt.losses import certainty, known_classes

from .methods import Method, get_method
from .provenance import commit, versions
from .results import write_whole
from .tasks import DataPlace, Task, digits
from .training import Plan, infer, train

UNKNOWN = (7, 8, 9)
THRESHOLDS = (0.5, 0.7, 0.9)
METHODS = "source_only,dmsrl,dmsrl-mcc"
HEAD = ["method", "seed", "known, right", "AUROC", *(f"rejected / kept at {least}" for least in THRESHOLDS)]


def open_task(task: Task) -> Task:
    """Returns a digits task whose source lacks the classes UNKNOWN, the last ones; the target is unchanged."""
    kept = ~torch.isin(task.source.known_labels, torch.tensor(UNKNOWN))
    known = task.classes[: len(task.classes) - len(UNKNOWN)]
    return replace(task, source=task.source.take(kept), classes=known)


def class_probs_of(task: Task, method: Method, seed: int, steps: int) -> Tensor:
    """Trains a method and returns its class probabilities on the target's test part, shape (N, K)."""
    trained = train(task, method, seed, Plan(steps=steps, scorings=1))
    return infer(trained.adapter, task.target_test.inputs, 1)["preds"]


def row(probs: Tensor, labels: Tensor) -> list[str]:
    """Returns, in %, the accuracy on known classes, the AUROC of certainty for known against unknown samples, and for
    each threshold the unknown samples rejected and the known samples kept.

    Args:
        probs: shape (N, K).
        labels: shape (N,), K and above for unknown classes.
    """
    is_known = labels < probs.shape[1]
    right = (probs.argmax(1) == labels)[is_known].float().mean()
    area = roc_auc_score(is_known, certainty(probs))
    cells = [f"{100 * right:.1f}", f"{100 * area:.1f}"]
    for least in THRESHOLDS:
        kept = known_classes(probs, least) >= 0
        cells.append(f"{100 * (~kept)[~is_known].float().mean():.0f} / {100 * kept[is_known].float().mean():.0f}")
    return cells


def table(result: Mapping[str, Any]) -> list[list[str]]:
    """Returns the content of `open_set.json` as a table."""
    rows: list[list[str]] = result["rows"]
    return rows


def write_open_set(
    folder: Path, name: str, place: DataPlace, methods: list[str], seeds: list[int], steps: int
) -> list[list[str]]:
    """Trains, writes `open_set.json` after every run, and returns a table with one row per method and seed."""
    task, rows = open_task(digits.load(name, place)), [HEAD]
    for method in methods:
        for seed in seeds:
            probs = class_probs_of(task, get_method(method), seed, steps)
            rows.append([method, str(seed), *row(probs, task.target_test.known_labels)])
            result = {"task": name, "unknown": UNKNOWN, "steps": steps, "rows": rows}
            write_whole(folder / "open_set.json", {**result, "versions": versions(), "commit": commit()})
    return rows
