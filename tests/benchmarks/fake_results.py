"""Result files without training: all that a report can show."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.provenance import commit, versions
from benchmarks.results import Result, write_result
from dmsrl_adapt.trainer.validators import VALIDATORS

CLASSES = ["cat", "dog", "owl"]


def fake_result(task: str, method: str, seed: int, score: float, **more: Any) -> Result:
    """Returns a result whose last step has this accuracy, 0..1; the steps before are worse."""
    right = round(100 * score)
    wrong = [(100 - right) // 2, 100 - right - (100 - right) // 2]
    confusion = [[wrong[0]] * row + [right] + [wrong[1]] * (2 - row) for row in range(3)]
    curve = []
    for step, share in ((10, 0.5), (20, 0.8), (30, 1.0)):
        both = {"accuracy": share * score, "balanced_accuracy": share * score}
        scores = dict.fromkeys(VALIDATORS, share)
        point = {
            "step": step,
            **both,
            "validators": scores,
            "selector": share,
            "losses": {"total_loss": {"total": 1.0}},
        }
        if method.startswith("dmsrl"):
            point["pseudo_labels"] = {"kept": share, "accuracy": share * score}
        curve.append(point)
    points = {"last": score, "selected": score, "oracle": score}
    return {
        "task": task,
        "method": method,
        "seed": seed,
        "metric": "accuracy",
        "score_on": "test",
        "accuracy": points,
        "balanced_accuracy": points,
        "selected_by": {name: {"accuracy": score, "balanced_accuracy": score} for name in VALIDATORS},
        "per_class_accuracy": dict.fromkeys(CLASSES, score),
        "confusion": confusion,
        "classes": CLASSES,
        "selector": "IMValidator",
        "seconds_per_step": 0.01 * (1 + len(method)),
        "peak_memory": 500.0 + seed,
        "steps": 30,
        "settings": {"network": "small", "batch_size": 16, "scorings": 3},
        "versions": versions(),
        "commit": commit(),
        "curve": curve,
        **more,
    }


SCORES = {"source_only": 0.5, "dann": 0.45, "mcc": 0.7, "dmsrl": 0.75, "dmsrl-mi": 0.72, "target_supervised": 0.9}


def write_fakes(folder: Path, tasks: tuple[str, ...] = ("digits", "my photos")) -> None:
    """Writes two tasks, six methods, two seeds; features of two methods of the first task."""
    rng = np.random.RandomState(0)
    for number, task in enumerate(tasks):
        for method, score in SCORES.items():
            for seed in (0, 1):
                embedding = None
                if number == seed == 0 and method in ("source_only", "dmsrl"):
                    embedding = {f"{d}_features": rng.randn(30, 4).astype(np.float16) for d in ("source", "target")}
                    embedding |= {f"{d}_labels": np.arange(30) % 3 for d in ("source", "target")}
                write_result(folder, fake_result(task, method, seed, score + 0.02 * seed + 0.01 * number), embedding)
