"""Accuracy of pseudo labels by the classifier, by prototypes, and by the prototypes of neighbours.

The features are those of a network trained on the source only, and prototypes are fitted to the source. Labels of the
target's training part are used for scoring only, on the tasks for choosing settings.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from pytorch_adapt.adapters import BaseAdapter

from dmsrl_adapt import PrototypeLabeler

from .methods import get_method
from .provenance import commit, versions
from .results import write_whole
from .tasks import DataPlace, Task, load_task
from .training import Plan, infer, train

METHOD, CLASSIFIER = "source_only", "classifier"
LABELERS: dict[str, dict[str, Any]] = {
    "1 prototype": {},
    "2 prototypes": {"prototypes_per_class": 2},
    "1 prototype, 5 neighbours": {"neighbours": 5},
    "1 prototype, 10 neighbours": {"neighbours": 10},
    "1 prototype, 20 neighbours": {"neighbours": 20},
    "2 prototypes, 10 neighbours": {"prototypes_per_class": 2, "neighbours": 10},
}


def trained(task: Task, seed: int, steps: int) -> BaseAdapter:
    """Returns the trained adapter; it is the same for the same seed."""
    return train(task, get_method(METHOD), seed, Plan(steps=steps, scorings=1)).adapter


def measure(task: Task, seed: int, steps: int) -> dict[str, dict[str, float]]:
    """Returns, by labeler, the accuracy without rejection (`all`), the fraction of labels that the default threshold
    keeps (`kept`), and their accuracy (`right_of_kept`)."""
    adapter = trained(task, seed, steps)
    source, target = (infer(adapter, part.inputs, n) for n, part in enumerate((task.source, task.target_train)))
    truth, idx = task.target_train.known_labels, torch.arange(len(task.target_train))
    accuracy = {CLASSIFIER: {"all": (target["preds"].argmax(1) == truth).float().mean().item()}}
    for name, settings in LABELERS.items():
        labeler = PrototypeLabeler(len(task.classes), source["features"].shape[1], len(truth), **settings)
        labeler.fit(source["features"], task.source.known_labels)
        usual, labeler.threshold = labeler.threshold, 0.0
        labeler.relabel([(target["features"], idx)])
        accuracy[name] = {"all": (labeler.labels == truth).float().mean().item()}
        labeler.threshold = usual
        kept = labeler.relabel([(target["features"], idx)])["fraction_kept"]
        right = (labeler.labels == truth).float().mean().item()
        accuracy[name] |= {"kept": kept, "right_of_kept": right / max(kept, 1 / len(truth))}
    return accuracy


def write_labels(
    folder: Path, place: DataPlace, tasks: Sequence[str], seeds: Sequence[int], steps: int
) -> Iterator[list[dict[str, Any]]]:
    """Measures all tasks and seeds; writes `labels.json` and yields the results so far after each."""
    runs: list[dict[str, Any]] = []
    for seed in seeds:
        for name in tasks:
            runs.append({"task": name, "seed": seed, "labels": measure(load_task(name, place), seed, steps)})
            settings = {"method": METHOD, "steps": steps, "labelers": LABELERS}
            result = {"runs": runs, "settings": settings, "versions": versions(), "commit": commit()}
            write_whole(folder / "labels.json", result)
            yield runs


def table(result: Mapping[str, Any]) -> list[list[str]]:
    """Returns the content of `labels.json` as a table."""
    return rows(result["runs"])


def rows(runs: list[dict[str, Any]]) -> list[list[str]]:
    """Returns a table of accuracies without rejection, in %, with one row per task, averaged over seeds."""
    tasks, names = list(dict.fromkeys(run["task"] for run in runs)), [CLASSIFIER, *LABELERS]
    table = [["right labels, %", *names]]
    for task in tasks:
        own = [run["labels"] for run in runs if run["task"] == task]
        table.append([task, *(f"{100 * mean(labels[name]['all'] for labels in own):.1f}" for name in names)])
    by_task = [[float(cell) for cell in row[1:]] for row in table[1:]]
    return [*table, ["mean", *(f"{mean(column):.1f}" for column in zip(*by_task, strict=True))]]
